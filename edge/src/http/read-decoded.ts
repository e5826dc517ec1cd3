/** Reads a body, inflates it, and makes something of it, when it is its turn. */
import { ApiError } from '@blip2/shared/errors';
import type { Config } from '../config.ts';
import { atOnce, inPieces, Pauses, SLICE } from '../pauses.ts';
import { inSpan } from '../tracing.ts';
import { bodyLooks } from '../turns/bulk-reads.ts';
import { DEAR_MS } from '../turns/dear-work.ts';
import { type WorkPlace, waitOutside } from '../work-in-hand.ts';
import { type BodyCost, inflatingCost, tokenizingCost } from './body-costs.ts';
import type { Reading } from './body-reading.ts';
import { decodeContent, decodingMs, parseContentEncoding } from './content-encoding.ts';
import { type HeldBody, holdBody } from './held-bodies.ts';
import { readLimited } from './read-limited.ts';
import { longestHeld, RequestTurns, type TurnLimits } from './request-turns.ts';
import { WholeRequest } from './whole-request.ts';

type Bytes = Uint8Array<ArrayBuffer>;

/** Bodies of one client share its part of the memory; its place is left while the body comes. */
export type ReadLimits = Pick<Config, 'maxHeldBytes'> & TurnLimits;

/** What is no longer than this is looked at in one piece: that takes a millisecond. */
const SHORT_BYTES = 2 ** 16;
/** What costs no more by its own bytes, and becomes no more than is short, is inflated without a turn: 8 KB, or 4 of zstd. */
const SHORT_MS = 1;

/**
 * What is read of a body. What is dear to inflate, to parse, and to make tokens of takes turns with other such bodies, and
 * counts as memory meanwhile.
 * @param readingOf says how it is read, once it is there
 */
export async function readDecoded<T>(
  request: Request,
  limit: number,
  limits: ReadLimits,
  readingOf: (body: Bytes) => Reading<T>,
): Promise<T> {
  // Before the body is read: a coding that is not known needs no upload.
  const coding = parseContentEncoding(request.headers.get('content-encoding'));
  const { maxHeldBytes, deadlineMs: ms, client } = limits;
  // Of an item of a job, which others have read: objects may not wait for one another.
  if (request instanceof WholeRequest) {
    const whole = await readLimited(request, limit, { maxHeldBytes, client, ms });
    const pauses = new Pauses();
    const turn = () => pauses.after(SLICE);
    const decoded = coding === null ? whole : await decodeContent(whole, { coding, limit, turn });
    return readingOf(decoded).read();
  }
  const { signal } = request;
  const turns = new RequestTurns(request, limits);
  const held = holdBody(maxHeldBytes, { client, ms: longestHeld(ms), signal });
  try {
    const body = await bodyOf(request, limit, limits, held);
    const whole =
      coding === null
        ? body
        : ((await inflateShort(body, coding, { limit, turns })) ??
          (await inflateInTurns(body, coding, { limit, turns, held, work: limits.work })));
    const reading = readingOf(whole);
    const cost = await look(reading, whole.length, { client, signal, turns });
    await turns.before(cost);
    const parsed = reading.read();
    await turns.before(tokenizingCost(parsed));
    return parsed;
  } finally {
    held.close();
  }
}

/** It counts as what its client does without a turn. @returns null where it costs more, or becomes more than is short */
async function inflateShort(
  body: Bytes,
  coding: string,
  { limit, turns }: { limit: number; turns: RequestTurns },
): Promise<Bytes | null> {
  const ofBytes = decodingMs(body.length, coding);
  if (ofBytes > SHORT_MS) return null;
  const { ms, remedy } = inflatingCost(SHORT_BYTES);
  await turns.before({ ms: ofBytes + ms, remedy });
  const most = Math.min(limit, SHORT_BYTES);
  try {
    return await decodeContent(body, { coding, limit: most, turn: async () => {} });
  } catch (error) {
    if (most < limit && error instanceof ApiError && error.slug === 'body-too-large') return null;
    throw error;
  }
}

/** Few bytes may become megabytes, which nobody had to send, or tables without end, of which nothing comes. */
async function inflateInTurns(
  body: Bytes,
  coding: string,
  {
    limit,
    turns,
    held,
    work,
  }: { limit: number; turns: RequestTurns; held: HeldBody; work: WorkPlace | undefined },
): Promise<Bytes> {
  const { remedy } = inflatingCost(limit);
  const since = Date.now();
  const turn = (ms: number) => turns.before({ ms: Math.max(ms, DEAR_MS), remedy }, since);
  const inflate = () =>
    decodeContent(body, {
      ...{ coding, limit, turn },
      onBytes: (bytes) => held.add(0, bytes),
    });
  // Its place is left once, for all of its turns, and before the first: each would take it again, which others may have then.
  return await waitOutside(work, Promise.resolve().then(inflate));
}

/** One long body at a time, clients by turns: each goes on with pauses, and many at once would be as long as all of them between two. */
async function look(
  reading: Reading<unknown>,
  bytes: number,
  { client, signal, turns }: { client: string; signal: AbortSignal; turns: RequestTurns },
): Promise<BodyCost> {
  if (bytes <= SHORT_BYTES) return atOnce(reading.cost());
  const pauses = new Pauses();
  const inTurn = async (renew: () => void) =>
    await inPieces(reading.cost(), {
      after: async (work) => {
        renew();
        await pauses.after(work);
      },
      away: (call) => pauses.away(call),
    });
  return await bodyLooks.run(client, inTurn, { signal, longestMs: turns.longestMs() });
}

async function bodyOf(
  request: Request,
  limit: number,
  { maxHeldBytes, deadlineMs: ms, client, work }: ReadLimits,
  held: HeldBody,
): Promise<Bytes> {
  try {
    return await inSpan('read body', () =>
      waitOutside(work, readLimited(request, limit, { maxHeldBytes, client, ms, held })),
    );
  } catch (cause) {
    if (cause instanceof ApiError) throw cause;
    // Nobody may be left to read this: an upload that its client breaks off is no fault of the service.
    const detail = 'The connection ended before the whole body had come: send it again.';
    throw new ApiError('invalid-request', detail, { cause });
  }
}
