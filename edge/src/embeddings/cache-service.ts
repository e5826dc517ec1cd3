/** One of the services that cache for all isolates, as it may be relied on: it may fail, and it may never answer. */
import { logWarning } from '../log.ts';
import type { RequestContext } from '../request-context.ts';
import { TooSlowError, within } from '../within.ts';

/** How long a service that did not answer is left alone, so that not every request waits for it. */
const REST_MS = 5000;

/** `now`: milliseconds since the epoch. `timeoutMs`: how long one call may take. */
export type Patience = { now: () => number; timeoutMs: number };

export class CacheService {
  readonly #name: string;
  readonly #patience: Patience;
  #restsUntil = 0;
  #failures = 0;

  constructor(name: 'kv' | 'colo', patience: Patience) {
    this.#name = name;
    this.#patience = patience;
  }

  /**
   * The result of a call, or `undefined` where it fails or is too slow, which is only logged and counted: what a cache
   * has can be computed again.
   */
  async attempt<T>(
    operation: 'get' | 'read' | 'put' | 'delete' | 'list',
    { requestId: request_id }: RequestContext,
    call: () => Promise<T>,
  ): Promise<T | undefined> {
    const { now, timeoutMs } = this.#patience;
    const rest = this.#restsUntil - now();
    // Longer than it ever is: the clock has been set back meanwhile.
    if (rest > 0 && rest <= REST_MS) return undefined;
    const what = `${this.#name} ${operation}`;
    try {
      return await within(timeoutMs, call(), what);
    } catch (error) {
      if (error instanceof TooSlowError) this.#restsUntil = now() + REST_MS;
      const count = ++this.#failures;
      logWarning('cache-failure', { request_id, operation: what, error: String(error), count });
      return undefined;
    }
  }
}
