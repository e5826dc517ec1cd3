/**
 * When the objects of an isolate may each go on with what reads caches many times. workerd looks at its sockets only when nothing else is
 * left to do: where caches are in its own process, as on one's own machine, the parts of a few jobs together would keep every request out. Objects
 * may not wait for one another, so that each gets a time of its own, and waits for that.
 */

/**
 * Between the beginnings of two turns is twice the time that the last took, so that half of it is left to others; within these bounds. The upper
 * one is for caches that are far away, and not busy.
 */
const SHORTEST_MS = 10;
const LONGEST_MS = 50;

export class Turns {
  #freeAt = 0;
  #betweenMs = SHORTEST_MS;

  /** @param now milliseconds since the epoch @returns milliseconds until the turn that is now taken */
  take(now: number): number {
    const at = Math.max(now, this.#freeAt);
    this.#freeAt = at + this.#betweenMs;
    return at - now;
  }

  /** @param ms how long a turn has taken */
  took(ms: number): void {
    this.#betweenMs = Math.min(Math.max(2 * ms, SHORTEST_MS), LONGEST_MS);
  }
}

/** Of this isolate. */
export const turns = new Turns();

/** Lets everybody else's requests come first. */
export async function pause(ms = 0): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}
