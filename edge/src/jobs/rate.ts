/** How many items of a job end in a second, of late: in memory, so that a job whose object was moved begins anew. */

const WINDOW_MS = 60_000;
/** Two reports that are closer say nothing. */
const LEAST_MS = 2000;

export class Rate {
  #samples: { at: number; done: number }[] = [];

  /** @param done items that have ended so far */
  add(at: number, done: number): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && at - last.at < 500) last.done = done;
    else this.#samples.push({ at, done });
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
