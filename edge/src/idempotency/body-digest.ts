/** The digest of a body while it is read by somebody else: nothing of it is held for this. */
import { Buffer } from 'node:buffer';
import { createHash, type Hash } from 'node:crypto';
import { ApiError } from '@blip2/shared/errors';
import { bodyReader } from '../http/body-reader.ts';
import { parseHeaderValue } from '../http/header-value.ts';
import type { HeldBody } from '../http/held-bodies.ts';
import { MAX_BOUNDARY_LENGTH, MAX_PARTS } from '../http/multipart.ts';
import { bodyTooLarge } from '../http/read-limited.ts';
import { readStream } from '../http/read-stream.ts';
import { heldChunks } from '../jobs/object-writer.ts';
import { TooSlowError, within } from '../within.ts';

/** One before each part that the parser takes, and the last. What stands behind more of them is refused anyway. */
const MAX_DELIMITERS = MAX_PARTS + 1;

/**
 * SHA-256 of bytes in which a boundary of multipart does not count: clients draw another for each attempt. It counts
 * where it is none, within a line: whatever a body repeats, there are few updates of the hash beside one for each chunk.
 */
export class BodyDigest {
  readonly #hash: Pick<Hash, 'update' | 'digest'>;
  readonly #delimiter: Buffer | null;
  /** What may be the beginning of a delimiter. */
  #rest: Uint8Array = new Uint8Array();
  #found = 0;

  constructor(
    contentType: string | null,
    hash: Pick<Hash, 'update' | 'digest'> = createHash('sha256'),
  ) {
    this.#hash = hash;
    const { value, parameters } = parseHeaderValue(contentType);
    const boundary = value === 'multipart/form-data' ? parameters.get('boundary') : undefined;
    const isTaken = !!boundary && boundary.length <= MAX_BOUNDARY_LENGTH;
    this.#delimiter = isTaken ? Buffer.from(`\n--${boundary}`) : null;
    // A body begins with a line.
    if (isTaken) this.#rest = Buffer.from('\n');
  }

  update(chunk: Uint8Array): void {
    if (this.#delimiter === null || this.#found === MAX_DELIMITERS) {
      this.#hash.update(chunk);
      return;
    }
    const bytes = Buffer.concat([this.#rest, chunk]);
    const { length } = this.#delimiter;
    let from = 0;
    while (this.#found < MAX_DELIMITERS) {
      const at = bytes.indexOf(this.#delimiter, from);
      if (at < 0) break;
      this.#hash.update(bytes.subarray(from, at)).update('\n\0');
      from = at + length;
      this.#found++;
    }
    const isLast = this.#found === MAX_DELIMITERS;
    const until = isLast ? bytes.length : Math.max(from, bytes.length - length + 1);
    this.#hash.update(bytes.subarray(from, until));
    this.#rest = bytes.subarray(until);
  }

  end(): string {
    this.#hash.update(this.#rest);
    return this.#hash.digest('hex');
  }
}

/** A body on its way to whoever reads it. */
export type HashedBody = {
  /** The same bytes; null where there is no body. */
  body: ReadableStream<Uint8Array> | null;
  /** Hexadecimal digits, once all of it has been read; null where `give up` came first. */
  digest: Promise<string | null>;
  /** Called when nobody will read the rest. */
  giveUp: () => void;
};

/**
 * @example
 * const { body, digest } = hashedBody(request);
 * await new Response(body).arrayBuffer();
 * await digest; // '9f86d0…'
 */
export function hashedBody({ body, headers }: Pick<Request, 'body' | 'headers'>): HashedBody {
  const digest = new BodyDigest(headers.get('content-type'));
  const { promise, resolve } = Promise.withResolvers<string | null>();
  const giveUp = () => resolve(null);
  if (body === null) {
    resolve(digest.end());
    return { body: null, digest: promise, giveUp };
  }
  const reader = bodyReader(body);
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const piece = await reader.read();
        if (piece === null) {
          resolve(digest.end());
          controller.close();
        } else {
          digest.update(piece);
          controller.enqueue(piece);
        }
      },
      async cancel(reason) {
        giveUp();
        await reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
  return { body: stream, digest: promise, giveUp };
}

type Limits = {
  /** Bytes of the body. */
  maxBytes: number;
  /** How long it may take, or of an upload its next piece, milliseconds. */
  ms: number;
  /** What counts it while it comes; whoever has opened it closes it. */
  held: HeldBody;
};

/**
 * The digest of an upload that nobody else reads.
 * @throws ApiError what `readStream` and `heldChunks` throw
 */
export async function digestOfUpload(
  request: Pick<Request, 'body' | 'headers'>,
  { maxBytes, ms, held }: Limits,
): Promise<string> {
  const digest = new BodyDigest(request.headers.get('content-type'));
  const { begin, during } = held;
  const passing = { begin, during, add: (bytes: number) => held.add(bytes, 0) };
  for await (const chunk of heldChunks(readStream(request, ms, maxBytes), passing)) {
    digest.update(chunk);
  }
  return digest.end();
}

/**
 * The digest of a body that nobody else reads.
 * @throws ApiError `body-too-large`, `deadline-exceeded`, and what `HeldBody` throws
 */
export async function digestOf(
  { body, headers }: Pick<Request, 'body' | 'headers'>,
  { maxBytes, ms, held }: Limits,
): Promise<string> {
  const digest = new BodyDigest(headers.get('content-type'));
  if (body === null) return digest.end();
  held.begin();
  const reader = bodyReader(body);
  const reading = (async () => {
    let total = 0;
    for (let piece = await reader.read(); piece !== null; piece = await reader.read()) {
      total += piece.length;
      if (total > maxBytes) throw bodyTooLarge(maxBytes, total);
      held.add(piece.length, 0);
      digest.update(piece);
    }
  })();
  try {
    await within(ms, held.during(reading), 'the body');
    return digest.end();
  } catch (thrown) {
    reader.cancel(thrown).catch(() => {});
    if (thrown instanceof ApiError) throw thrown;
    throw thrown instanceof TooSlowError
      ? new ApiError('deadline-exceeded', `The body had not come whole after ${ms} ms.`)
      : new ApiError('invalid-request', 'The connection ended before the whole body had come.');
  }
}
