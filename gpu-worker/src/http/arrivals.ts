/** Bounds how many connections may send their first frame at the same time: until it is there, nothing is known of them. */
import { ApiError } from '@blip2/shared/errors';

const RETRY_AFTER_S = 1;

/**
 * When all places are taken, whoever has taken longest is sent away for the one that comes: a first frame takes
 * milliseconds, so that those that hold a place for longer hold it for nothing.
 * @example using arrival = arrivals.enter();
 */
export class Arrivals {
  readonly #limit: number;
  /** In the order of their arrival. */
  readonly #present = new Set<AbortController>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Connections that have not sent their first frame. */
  get size(): number {
    return this.#present.size;
  }

  /** A place until it is disposed; the signal aborts, with a problem, when another one needs it. */
  enter(): Disposable & { signal: AbortSignal } {
    const [oldest] = this.#present;
    if (oldest !== undefined && this.#present.size >= this.#limit) {
      this.#present.delete(oldest);
      oldest.abort(tooMany());
    }
    const own = new AbortController();
    this.#present.add(own);
    return { signal: own.signal, [Symbol.dispose]: () => this.#present.delete(own) };
  }
}

function tooMany(): ApiError {
  const detail = 'Too many requests arrive at the same time, and this one came too slowly.';
  return new ApiError('overloaded', detail, { retry_after: RETRY_AFTER_S });
}
