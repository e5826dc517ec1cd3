/** Reads a body, inflates it, and makes something of it, when it is its turn. */
import { ApiError } from '@blip2/shared/errors';
import type { Config } from '../config.ts';
import { atOnce, inPieces } from '../pauses.ts';
import { inSpan } from '../tracing.ts';
import { bodyLooks } from '../turns/bulk-reads.ts';
import { DEAR_MS } from '../turns/dear-work.ts';
import { waitOutside } from '../work-in-hand.ts';
import { type BodyCost, inflatingCost, tokenizingCost } from './body-costs.ts';
import type { Reading } from './body-reading.ts';
import { decodeContent, mostInflated, parseContentEncoding } from './content-encoding.ts';
import { type HeldBody, holdBody } from './held-bodies.ts';
import { readLimited } from './read-limited.ts';
import { longestHeld, RequestTurns, type TurnLimits } from './request-turns.ts';
import { WholeRequest } from './whole-request.ts';

type Bytes = Uint8Array<ArrayBuffer>;

/** Bodies of one client share its part of the memory; its place is left while the body comes. */
export type ReadLimits = Pick<Config, 'maxHeldBytes'> & TurnLimits;

/** What is no longer than this is looked at in one piece, and inflated without a turn: that takes a millisecond. */
const SHORT_BYTES = 2 ** 16;

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
  const codings = parseContentEncoding(request.headers.get('content-encoding'));
  const { maxHeldBytes, deadlineMs: ms, client } = limits;
  // Of an item of a job, which others have read: objects may not wait for one another.
  if (request instanceof WholeRequest) {
    const whole = await readLimited(request, limit, { maxHeldBytes, client, ms });
    return readingOf(decodeContent(whole, codings, limit)).read();
  }
  const { signal } = request;
  const turns = new RequestTurns(request, limits);
  const held = holdBody(maxHeldBytes, { client, ms: longestHeld(ms), signal });
  try {
    const body = await bodyOf(request, limit, limits, held);
    const whole = codings.length === 0 ? body : inflateShort(body, codings, limit);
    const { reading, cost } =
      whole === null
        ? await inflateInTurn(() => decodeContent(body, codings, limit), {
            ...{ turns, held, readingOf },
            most: mostInflated(body.length, limit),
          })
        : await look(readingOf(whole), whole.length, client);
    await turns.before(cost);
    const parsed = reading.read();
    await turns.before(tokenizingCost(parsed));
    return parsed;
  } finally {
    held.close();
  }
}

/** @returns null where it becomes more than is short */
function inflateShort(body: Bytes, codings: readonly string[], limit: number): Bytes | null {
  if (body.length > SHORT_BYTES) return null;
  // workerd refuses some of what would just fit into so few bytes.
  const most = Math.min(limit, 2 * SHORT_BYTES);
  try {
    const decoded = decodeContent(body, codings, most);
    return decoded.length > SHORT_BYTES ? null : decoded;
  } catch (error) {
    if (most < limit && error instanceof ApiError && error.slug === 'body-too-large') return null;
    throw error;
  }
}

type Looked<T> = { reading: Reading<T>; cost: BodyCost };

/**
 * Some bytes may become megabytes, which nobody had to send: to inflate them, and to see what is in them, is one piece, with a turn
 * whatever it costs. Then no other such body is in memory that does not count.
 */
async function inflateInTurn<T>(
  inflate: () => Bytes,
  {
    turns,
    held,
    readingOf,
    most,
  }: {
    turns: RequestTurns;
    held: HeldBody;
    readingOf: (body: Bytes) => Reading<T>;
    most: number;
  },
): Promise<Looked<T>> {
  const { ms, remedy } = inflatingCost(most);
  await turns.before({ ms: Math.max(ms, DEAR_MS), remedy });
  const decoded = inflate();
  held.add(0, decoded.length);
  const reading = readingOf(decoded);
  return { reading, cost: atOnce(reading.cost()) };
}

/** One long body at a time, clients by turns: each goes on with pauses, and many at once would be as long as all of them between two. */
async function look<T>(reading: Reading<T>, bytes: number, client: string): Promise<Looked<T>> {
  if (bytes <= SHORT_BYTES) return { reading, cost: atOnce(reading.cost()) };
  return { reading, cost: await bodyLooks.run(client, () => inPieces(reading.cost())) };
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
