/** How long replies of late took to begin: what is slower than nearly all of them may be asked for elsewhere as well. */

const SAMPLES = 256;
const FEWEST = 64;
const SHARE = 0.95;

export class FirstEventTimes {
  readonly #times: number[] = [];
  #next = 0;

  /** @param ms from the request to the first event of its reply */
  record(ms: number): void {
    this.#times[this.#next] = ms;
    this.#next = (this.#next + 1) % SAMPLES;
  }

  /** The 95th percentile, milliseconds; null while there are few. */
  p95(): number | null {
    if (this.#times.length < FEWEST) return null;
    const sorted = [...this.#times].sort((a, b) => a - b);
    return sorted[Math.floor(SHARE * sorted.length)] ?? null;
  }
}
