/** Limits how many requests are under way, in all, of one client, and of background work. */
import { ApiError } from '@blip2/shared/errors';
import type { Caller } from '../protocol.ts';
import { isUnnamed } from './unnamed.ts';

const RETRY_AFTER_S = 1;

/** @example
 * const refusal = admission.refusal(caller);
 * using _admitted = refusal === null ? admission.admit(caller) : null;
 */
export class Admission {
  readonly #limit: number;
  /** Requests that all background work may have: the rest is for who waits. */
  readonly #backgroundLimit: number;
  /** Requests by client. Those without any name count for none; those of unknown address are one client together. */
  readonly #byClient = new Map<string, number>();
  #background = 0;
  #admitted = 0;

  /** @param limit requests under way at the same time */
  constructor(limit: number) {
    this.#limit = limit;
    this.#backgroundLimit = Math.ceil(limit / 2);
  }

  /** Requests that were admitted and have not ended. */
  get admitted(): number {
    return this.#admitted;
  }

  /** Background requests that could be admitted now. */
  get backgroundPlaces(): number {
    const free = Math.min(this.#backgroundLimit - this.#background, this.#limit - this.#admitted);
    return Math.max(0, free);
  }

  /**
   * Why a request cannot be admitted now; null when it can. A client may have as many requests as there are places that
   * nobody has: one alone half of all, two a third each, so that there is always a place for another one, however many
   * want all of them. A client that has requests is refused for these, however busy the rest is: it can do something about it.
   */
  refusal({ client, priority }: Caller): ApiError | null {
    const own = client === '' ? 0 : (this.#byClient.get(client) ?? 0);
    const free = this.#limit - this.#admitted;
    if (own > 0 && own >= free) {
      const detail = isUnnamed(client)
        ? `Those whose address is not known have ${own} requests under way together, as many as one client may have now.`
        : `This client has ${own} requests under way, as many as one may have now.`;
      const limits = { limit: own, retry_after: RETRY_AFTER_S };
      return new ApiError('too-many-requests', detail, limits);
    }
    if (free <= 0) return overloaded('All slots and the queue are taken. Try again shortly.');
    if (priority === 'background' && this.#background >= this.#backgroundLimit) {
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
