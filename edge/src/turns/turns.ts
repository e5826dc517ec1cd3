/** When each of many may go on with what is dear: each gets a time of its own, so that none has to wait for another. */

/**
 * Between the beginnings of two turns is so many times the time that the last took, within these bounds, milliseconds. The rest
 * is left to others. The upper bound is for what is far away, and not busy.
 */
export type Pace = { times: number; shortestMs: number; longestMs: number };

export class Turns {
  readonly #pace: Pace;
  #freeAt = 0;
  #betweenMs: number;

  constructor(pace: Pace) {
    this.#pace = pace;
    this.#betweenMs = pace.shortestMs;
  }

  /** Milliseconds between two turns. */
  get apart(): number {
    return this.#betweenMs;
  }

  /** @param now milliseconds since the epoch @returns milliseconds until the next turn */
  wait(now: number): number {
    return Math.max(this.#freeAt - now, 0);
  }

  /** @param now milliseconds since the epoch @returns milliseconds until the turn that is now taken */
  take(now: number): number {
    const wait = this.wait(now);
    this.#freeAt = now + wait + this.#betweenMs;
    return wait;
  }

  /** @param ms how long a turn has taken */
  took(ms: number): void {
    const { times, shortestMs, longestMs } = this.#pace;
    this.#betweenMs = Math.min(Math.max(times * ms, shortestMs), longestMs);
  }
}

/** Lets everybody else's requests come first. */
export async function pause(ms = 0): Promise<void> {
  await scheduler.wait(ms);
}
