/** Reads a body, inflates it, and makes something of it, when it is its turn. */
import { ApiError } from '@blip2/shared/errors';
import type { Config } from '../config.ts';
import { inSpan } from '../tracing.ts';
import { waitOutside } from '../work-in-hand.ts';
import { inflatingCost, tokenizingCost } from './body-costs.ts';
import type { Reading } from './body-reading.ts';
import { decodeContent, mostInflated, parseContentEncoding } from './content-encoding.ts';
import { type HeldBody, holdBody } from './held-bodies.ts';
import { readLimited } from './read-limited.ts';
import { longestHeld, RequestTurns, type TurnLimits } from './request-turns.ts';
import { WholeRequest } from './whole-request.ts';

/** Bodies of one client share its part of the memory; its place is left while the body comes. */
export type ReadLimits = Pick<Config, 'maxHeldBytes'> & TurnLimits;

/**
 * What is read of a body. What is dear to inflate, to parse, and to make tokens of takes turns with other such bodies, and
 * counts as memory until its turn has come.
 * @param readingOf says how it is read, once it is there
 */
export async function readDecoded<T>(
  request: Request,
  limit: number,
  limits: ReadLimits,
  readingOf: (body: Uint8Array<ArrayBuffer>) => Reading<T>,
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
    const isCoded = codings.length > 0;
    // How much comes of it shows then: what it may be says only whether it waits.
    if (isCoded) await turns.before(inflatingCost(mostInflated(body.length, limit)), { counts: 0 });
    const decoded = decodeContent(body, codings, limit);
    const inflated = isCoded ? inflatingCost(decoded.length).ms : 0;
    const reading = readingOf(decoded);
    const cost = await reading.cost();
    await turns.before(
      { ...cost, ms: inflated + cost.ms },
      { onWait: () => isCoded && held.add(0, decoded.length) },
    );
    const parsed = reading.read();
    await turns.before(tokenizingCost(parsed));
    return parsed;
  } finally {
    held.close();
  }
}

async function bodyOf(
  request: Request,
  limit: number,
  { maxHeldBytes, deadlineMs: ms, client, work }: ReadLimits,
  held: HeldBody,
): Promise<Uint8Array<ArrayBuffer>> {
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
