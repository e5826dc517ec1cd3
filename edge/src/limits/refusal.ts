/** A refusal as the error that its caller gets: which limit, and when there is more. */
import { ApiError } from '@blip2/shared/errors';
import type { Policy, Refusal } from './limits.ts';

const MAY: Record<Policy, (limit: number) => string> = {
  requests: (limit) => `send ${plural(limit, 'request')} a minute`,
  tokens: (limit) => `use ${plural(limit, 'token')} a minute`,
  images: (limit) => `have ${plural(limit, 'new image')} encoded a day`,
  streams: (limit) => `have ${plural(limit, 'stream')} open at a time`,
};

/** Why a request can never be served as it is, and how it can. */
const NEVER: Record<Policy, (asked: number) => string> = {
  requests: (asked) => `this one counts as ${asked + 1}: ask for less at a time`,
  tokens: (asked) => `this request may need ${asked}: lower max_tokens or n, or shorten the text`,
  images: (asked) =>
    `this request may need ${asked}: send fewer at a time, or those that were encoded before`,
  streams: () => 'this one is one more: ask for the reply whole, without stream',
};

/** Some clients send again at once where the wait is longer than they care for. */
const PATIENCE_MS = 60_000;

/**
 * @param who `key` or `address`
 * @example quotaExceeded({ policy: 'requests', limit: 60, asked: 1, waitMs: 1500, maySooner: false }, 'key').extras.retry_after // 2
 */
export function quotaExceeded(
  { policy, limit, asked, waitMs }: Refusal,
  who: 'key' | 'address',
): ApiError {
  const may = `This ${who} may ${MAY[policy](limit)}`;
  if (waitMs === null) {
    const detail = `${may}, and ${NEVER[policy](asked)}.`;
    const headers = { 'x-should-retry': 'false' };
    return new ApiError('quota-exceeded', detail, { limit, actual: asked, headers });
  }
  const retry_after = Math.max(1, Math.ceil(waitMs / 1000));
  const headers = {
    'retry-after-ms': String(Math.max(1, Math.ceil(waitMs))),
    ...(waitMs > PATIENCE_MS && { 'x-should-retry': 'false' }),
  };
  const detail = `${may}: try again in ${plural(retry_after, 'second')}.`;
  return new ApiError('quota-exceeded', detail, { limit, retry_after, headers });
}

function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
