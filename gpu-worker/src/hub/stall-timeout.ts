/** Cuts a connection that gives nothing for too long. */
import { InterruptedError } from './errors.ts';

export class StallTimeout implements Disposable {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;

  constructor(ms: number, what: string) {
    this.#timer = setTimeout(() => {
      const message = `Nothing of ${what} arrived for ${ms / 1000} seconds.`;
      this.#controller.abort(new InterruptedError(message));
    }, ms);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Something arrived: the time starts anew. */
  refresh(): void {
    this.#timer.refresh();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
