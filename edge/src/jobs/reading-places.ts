/**
 * Which jobs of an isolate read their inputs: each has megabytes of lines in memory meanwhile, so that it is a few at a time, fewer of
 * one owner, and a part of each by turns. Objects may not wait for one another: who finds no place comes again.
 */

const OF_ALL = 8;
const OF_ONE = 2;
/** A job that has not left its place by then is gone. */
const LEASE_MS = 60_000;
/** One that waits and does not come again by then is gone, or canceled. */
const PATIENCE_MS = 5000;
/** When a job that found no place comes again. */
export const AGAIN_MS = 1000;

export class ReadingPlaces {
  /** Until when each counts, and whose it is. */
  readonly #reading = new Map<string, { owner: string; until: number }>();
  /** In the order in which they came. */
  readonly #waiting = new Map<string, { owner: string; until: number }>();

  /**
   * @param now milliseconds since the epoch
   * @returns whether the job may read a part; then it is to leave
   */
  enter(job: string, owner: string, now: number): boolean {
    for (const [name, { until }] of this.#reading) if (until <= now) this.#reading.delete(name);
    for (const [name, { until }] of this.#waiting) if (until <= now) this.#waiting.delete(name);
    // Where it stands already, it stays.
    this.#waiting.set(job, { owner, until: now + PATIENCE_MS });
    const taken = [...this.#reading.values()].map((reading) => reading.owner);
    for (const [name, waiting] of this.#waiting) {
      if (taken.length >= OF_ALL) return false;
      if (taken.filter((other) => other === waiting.owner).length >= OF_ONE) continue;
      if (name === job) {
        this.#waiting.delete(job);
        this.#reading.set(job, { owner, until: now + LEASE_MS });
        return true;
      }
      // It may have this place when it comes again.
      taken.push(waiting.owner);
    }
    return false;
  }

  leave(job: string): void {
    this.#reading.delete(job);
  }
}

/** Of this isolate. */
export const readingPlaces = new ReadingPlaces();
