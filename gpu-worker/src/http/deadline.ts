/** The deadline of one request: it counts from the arrival, though its length comes in the first frame. */
import type { ApiError } from '@blip2/shared/errors';
import { deadlineExceeded } from './worker-errors.ts';

export class Deadline implements Disposable {
  readonly #controller = new AbortController();
  readonly #now: () => number;
  readonly #arrivedAt: number;
  #timer: NodeJS.Timeout | undefined;

  /** Made when the request arrives. @param now milliseconds of a clock that never goes back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#arrivedAt = now();
  }

  /** Aborts at the deadline, with its problem as the reason. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /**
   * Takes the place of an earlier one.
   * @param ms time from the arrival to the deadline; a timer of Node's takes 2^31 − 1 at most, and would end at once after more
   */
  start(ms: number, problem: () => ApiError = deadlineExceeded): void {
    clearTimeout(this.#timer);
    const left = ms - (this.#now() - this.#arrivedAt);
    const abort = () => this.#controller.abort(problem());
    if (left <= 0) abort();
    else this.#timer = setTimeout(abort, left);
  }

  /** Milliseconds since the arrival. */
  get elapsed(): number {
    return this.#now() - this.#arrivedAt;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
