/** Reads a body, inflates it, and makes something of it, when it is its turn. */
import { ApiError } from '@blip2/shared/errors';
import type { Config } from '../config.ts';
import type { RequestContext } from '../request-context.ts';
import { inSpan } from '../tracing.ts';
import { dearWork, isDear } from '../turns/dear-work.ts';
import { type WorkPlace, waitOutside } from '../work-in-hand.ts';
import { type BodyCost, inflatingCost, parsingCost, tokenizingCost } from './body-costs.ts';
import { decodeContent, mostInflated, parseContentEncoding } from './content-encoding.ts';
import { parseHeaderValue } from './header-value.ts';
import { type HeldBody, holdBody } from './held-bodies.ts';
import { readLimited } from './read-limited.ts';
import { WholeRequest } from './whole-request.ts';

export type ReadLimits = Pick<Config, 'maxHeldBytes' | 'deadlineMs'> & {
  /** Who sends it: bodies of one client share its part of the memory. */
  client: string;
  /** Its place, left while the body comes. */
  work?: WorkPlace;
  waitUntil: RequestContext['waitUntil'];
};
/** Part of the deadline that a body may wait for its turns. */
const WAITING = 2 / 3;
/** One that came slowly may wait so long in any case. */
const SHORTEST_WAIT_MS = 5000;

/**
 * What `parse` makes of a body. What is dear to inflate, to parse, or to make tokens of takes turns with other such bodies, and
 * counts as memory until its turn has come.
 */
export async function readDecoded<T>(
  request: Request,
  limit: number,
  limits: ReadLimits,
  parse: (body: Uint8Array<ArrayBuffer>) => T,
): Promise<T> {
  // Before the body is read: a coding that is not known needs no upload.
  const codings = parseContentEncoding(request.headers.get('content-encoding'));
  const { maxHeldBytes, deadlineMs: ms, client, work, waitUntil } = limits;
  // Of an item of a job, which others have read: objects may not wait for one another.
  if (request instanceof WholeRequest) {
    const whole = await readLimited(request, limit, { maxHeldBytes, client, ms });
    return parse(decodeContent(whole, codings, limit));
  }
  const { signal } = request;
  const startedAt = Date.now();
  const turn = ({ ms: cost, remedy }: BodyCost) => {
    if (!isDear(cost)) return undefined;
    // What is asked for has to be done as well before the deadline.
    const longestMs = Math.max(WAITING * ms - (Date.now() - startedAt), SHORTEST_WAIT_MS);
    const options = { waitUntil, signal, longestMs, remedy };
    return waitOutside(work, dearWork.turn(client, cost, options));
  };
  const held = holdBody(maxHeldBytes, { client, ms, signal });
  try {
    const body = await bodyOf(request, limit, limits, held);
    if (codings.length > 0) await turn(inflatingCost(mostInflated(body.length, limit)));
    const decoded = decodeContent(body, codings, limit);
    const cost = parsingCost(decoded, parseHeaderValue(request.headers.get('content-type')));
    if (codings.length > 0 && isDear(cost.ms)) held.add(0, decoded.length);
    await turn(cost);
    const parsed = parse(decoded);
    await turn(tokenizingCost(parsed));
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
