/** What an error reply leaves in the log: faults of this service, and what operators should know of. */
import type { ApiError } from '@blip2/shared/errors';
import { logError, logWarning } from './log.ts';
import { Crowded } from './work-in-hand.ts';

const NEWS_MS = 1000;
/** When it was last logged that a request was refused for the crowd of others. */
let crowdedAt = 0;

/** What clients may not read, operators must. */
export function logProblem(error: ApiError, request_id: string): void {
  const { status, slug, message, cause } = error;
  if (status < 500) return;
  if (error instanceof Crowded) {
    // A line for each would cost more than the refusal.
    if (Date.now() - crowdedAt < NEWS_MS) return;
    crowdedAt = Date.now();
  }
  const detail = cause instanceof Error ? (cause.stack ?? cause.message) : cause;
  // A worker that is gone or busy is expected; these two are faults of this service.
  const isFault = slug === 'internal-error' || slug === 'bad-gateway';
  const log = isFault ? logError : logWarning;
  log('problem', { request_id, slug, message, cause: detail });
}
