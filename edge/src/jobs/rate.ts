/** How many items of a job end in a second, of late: in memory, so that a job whose object was moved begins anew. */

const WINDOW_MS = 60_000;
/** Counts are taken no more often. */
const BETWEEN_MS = 500;
/** Over less, there is no rate. */
const LEAST_MS = 2000;

export class Rate {
  #samples: { at: number; done: number }[] = [];

  /** Whether it is worth while to count. */
  isDue(now: number): boolean {
    return now - (this.#samples.at(-1)?.at ?? 0) >= BETWEEN_MS;
  }

  /** @param done items that have ended so far */
  add(at: number, done: number): void {
    this.#samples.push({ at, done });
    this.#samples = this.#samples.filter((sample) => at - sample.at <= WINDOW_MS);
  }

  /** @returns null where that is not known */
  perSecond(now: number): number | null {
    const recent = this.#samples.filter(({ at }) => now - at <= WINDOW_MS);
    const [first, last] = [recent.at(0), recent.at(-1)];
    if (first === undefined || last === undefined || last.at - first.at < LEAST_MS) return null;
    return (1000 * (last.done - first.done)) / (last.at - first.at);
  }
}
