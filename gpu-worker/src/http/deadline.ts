/** The deadline of one request: it counts from the arrival, though its length comes in the first frame. */
import { deadlineExceeded } from './worker-errors.ts';

/** The longest delay of Node's timers; a longer one would end at once. */
export const MAX_DEADLINE_MS = 2 ** 31 - 1;

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

  /** Aborts at the deadline, with the problem `deadline-exceeded` as its reason. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** @param ms time from the arrival to the deadline, at most `MAX_DEADLINE_MS` */
  start(ms: number): void {
    const left = ms - (this.#now() - this.#arrivedAt);
    const abort = () => this.#controller.abort(deadlineExceeded());
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
