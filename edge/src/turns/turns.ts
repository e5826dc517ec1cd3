/**
 * When the objects of an isolate may each go on with what reads caches many times. workerd looks at its sockets only when nothing else is
 * left to do: where caches are in its own process, as on one's own machine, the parts of a few jobs together would keep every request out. Objects
 * may not wait for one another, so that each gets a time of its own, and waits for that.
 */

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

/** Of the objects of this isolate. */
export const turns = new Turns({ times: 2, shortestMs: 10, longestMs: 50 });

/** Lets everybody else's requests come first. */
export async function pause(ms = 0): Promise<void> {
  await scheduler.wait(ms);
}
