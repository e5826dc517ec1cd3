/** Limits how many requests are under way, in all, of one client, and of background work. */
import { ApiError } from '@blip2/shared/errors';
import type { Caller } from '../protocol.ts';

const RETRY_AFTER_S = 1;

/** @example
 * const refusal = admission.refusal(caller);
 * using _admitted = refusal === null ? admission.admit(caller) : null;
 */
export class Admission {
  readonly #limit: number;
  /** Requests that one client, or all background work, may have: the rest is for others. */
  readonly #share: number;
  /** Requests by client; the unnamed count for no client. */
  readonly #byClient = new Map<string, number>();
  #background = 0;
  #admitted = 0;

  /** @param limit requests under way at the same time */
  constructor(limit: number) {
    this.#limit = limit;
    this.#share = Math.ceil(limit / 2);
  }

  /** Requests that were admitted and have not ended. */
  get admitted(): number {
    return this.#admitted;
  }

  /**
   * Why a request cannot be admitted now; null when it can. A client at its own limit is refused for that, however busy the rest
   * is: it can do something about it.
   */
  refusal({ client, priority }: Caller): ApiError | null {
    if (client !== '' && (this.#byClient.get(client) ?? 0) >= this.#share) {
      const detail = `This client has ${this.#share} requests under way, as many as one may have.`;
      const limits = { limit: this.#share, retry_after: RETRY_AFTER_S };
      return new ApiError('too-many-requests', detail, limits);
    }
    if (this.#admitted >= this.#limit) {
      return overloaded('All slots and the queue are taken. Try again shortly.');
    }
    if (priority === 'background' && this.#background >= this.#share) {
      return overloaded('All slots for background work are taken. Try again later.');
    }
    return null;
  }

  /**
   * Counts a request as under way until the returned value is disposed.
   * @example using _admitted = admission.admit(caller);
   */
  admit({ client, priority }: Caller): Disposable {
    const add = (count: 1 | -1) => {
      this.#admitted += count;
      if (priority === 'background') this.#background += count;
      if (client === '') return;
      const now = (this.#byClient.get(client) ?? 0) + count;
      if (now > 0) this.#byClient.set(client, now);
      else this.#byClient.delete(client);
    };
    add(1);
    return { [Symbol.dispose]: () => add(-1) };
  }
}

function overloaded(detail: string): ApiError {
  return new ApiError('overloaded', detail, { retry_after: RETRY_AFTER_S });
}
