/** Reads a body of a request or a response, but never more than allowed. */
import { ApiError } from '@blip2/shared/errors';
import { TooSlowError, within } from '../within.ts';
import { type BodyReader, bodyReader } from './body-reader.ts';
import { type HeldBody, holdBody } from './held-bodies.ts';
import { WholeRequest } from './whole-request.ts';

export type ReadOptions = {
  /** Bytes of all bodies that this isolate reads at a time. */
  maxHeldBytes: number;
  /** For whom it is read. */
  client: string;
  /** Milliseconds within which all of it must have come; left out where whoever sends it is watched otherwise. */
  ms?: number;
  /** Aborted when that client goes away: then it counts no longer. */
  signal?: AbortSignal;
  /** What counts its bytes, where that goes on after they are read; whoever has opened it closes it. */
  held?: HeldBody;
};

/** Longer than anybody else who watches lets it take. */
const LONGEST_MS = 60_000;

/**
 * Bytes of a body, given up as soon as they are more than allowed: by the declared length before reading, and while
 * reading, because the declaration may be missing or wrong.
 * @param limit bytes
 * @throws ApiError `body-too-large`, `deadline-exceeded`, `too-many-requests`, `overloaded`
 */
export async function readLimited(
  source: { body: ReadableStream<Uint8Array> | null; headers: Headers },
  limit: number,
  { maxHeldBytes, client, ms, signal, held: given }: ReadOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  if (source instanceof WholeRequest) {
    if (source.whole.length > limit) throw bodyTooLarge(limit, source.whole.length);
    return source.whole;
  }
  const declared = Number(source.headers.get('content-length') ?? Number.NaN);
  if (declared > limit) throw bodyTooLarge(limit, declared);
  if (source.body === null) return new Uint8Array();
  const held = given ?? holdBody(maxHeldBytes, { client, ms: ms ?? LONGEST_MS, signal });
  // Whoever asked for what a host sends holds a place of its own.
  if (!(source instanceof Response)) held.begin();
  const reader = bodyReader(source.body);
  try {
    const reading = held.during(collect(reader, limit, declared, held));
    return await (ms === undefined ? reading : within(ms, reading, 'the body'));
  } catch (thrown) {
    // Not waited for: what is stuck may not even end.
    reader.cancel(thrown).catch(() => {});
    if (!(thrown instanceof TooSlowError)) throw thrown;
    const detail = `The body had not come whole after ${ms} ms: send a smaller image, or over a faster connection.`;
    throw new ApiError('deadline-exceeded', detail, { cause: thrown });
  } finally {
    // What is made of it is made at once, before anything else is read.
    if (given === undefined) held.close();
  }
}

/** Memory is taken as bytes come, not as they are announced: a body of which nothing comes has none here. */
const FIRST_BYTES = 2 ** 12;

/** @param declared bytes, NaN where nothing is */
async function collect(
  reader: BodyReader,
  limit: number,
  declared: number,
  held: HeldBody,
): Promise<Uint8Array<ArrayBuffer>> {
  let bytes = new Uint8Array();
  let total = 0;
  for (let chunk = await reader.read(); chunk !== null; chunk = await reader.read()) {
    const needed = total + chunk.byteLength;
    if (needed > limit) throw bodyTooLarge(limit, needed);
    held.add(chunk.byteLength);
    if (needed > bytes.length) {
      // What is declared is the last size: then nothing is cut off in the end.
      const most = declared >= needed ? declared : limit;
      const larger = new Uint8Array(
        Math.min(Math.max(needed, 2 * bytes.length, FIRST_BYTES), most),
      );
      larger.set(bytes.subarray(0, total));
      bytes = larger;
    }
    bytes.set(chunk, total);
    total = needed;
  }
  return total === bytes.length ? bytes : bytes.slice(0, total);
}

/** @param limit bytes @param actual bytes, or those that were read when it was given up; absent while it is inflated */
export function bodyTooLarge(limit: number, actual?: number): ApiError {
  const detail = `At most ${limit} bytes are accepted${actual === undefined ? ', also after inflation' : ''}.`;
  return new ApiError('body-too-large', detail, {
    limit,
    ...(actual === undefined ? {} : { actual }),
  });
}
