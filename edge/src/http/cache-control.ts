/** `Cache-Control` of a request: what it lets a cache do for it. */
import { type CacheUse, EVERY_USE } from '../request-context.ts';

/** No client sends so many: the rest of them is passed over. */
const MOST_DIRECTIVES = 64;

/**
 * `no-cache` and `max-age=0` want a reply that is made now, and let it be remembered; `no-store` wants neither. What is
 * no directive for a request is passed over, as RFC 9111 asks.
 * @param headers of the request; `Pragma: no-cache` counts where there is no `Cache-Control`
 * @example cacheUseOf(new Headers({ 'cache-control': 'no-cache' })) // { maxAge: 0, mayStore: true }
 */
export function cacheUseOf(headers: Headers): CacheUse {
  const value = headers.get('cache-control') ?? headers.get('pragma');
  if (value === null) return EVERY_USE;
  const use = { ...EVERY_USE };
  for (const directive of value.toLowerCase().split(',', MOST_DIRECTIVES)) {
    const [name, argument] = directive.split('=').map((part) => part.trim());
    if (name === 'no-store') use.mayStore = false;
    if (name === 'no-store' || name === 'no-cache') use.maxAge = 0;
    if (name === 'max-age') use.maxAge = Math.min(use.maxAge, secondsOf(argument));
  }
  return use;
}

/** An age that cannot be read is the strictest. */
function secondsOf(argument = ''): number {
  const [, digits] = /^"?(\d+)"?$/.exec(argument) ?? [];
  return digits === undefined ? 0 : Number(digits);
}
