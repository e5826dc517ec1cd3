/** Turns of what is dear to do with an image of a URL: inflating and hashing it. */
import type { RequestContext } from '../request-context.ts';
import { dearWork } from '../turns/dear-work.ts';

/** Part of what is left until the deadline that each turn may be waited for: the rest is for what comes after. */
const WAITING = 2 / 3;

/**
 * For `fetchImage`.
 * @param client whose turns they are
 * @param now milliseconds since the epoch
 * @throws its function: ApiError as `DearWork`, and the signal's reason when it is aborted
 */
export function fetchTurns(
  client: string,
  { waitUntil, signal, deadlineAt }: Pick<RequestContext, 'waitUntil' | 'signal' | 'deadlineAt'>,
  now: () => number,
): (ms: number) => Promise<void> {
  return async (ms) => {
    const longestMs = Math.max(WAITING * (deadlineAt - now()), 0);
    const remedy = 'a smaller image';
    await dearWork.turn(client, ms, { waitUntil, signal, endsWithClient: true, longestMs, remedy });
  };
}
