/** Keys and values of the image positions, kept per picture: the next question prefills only its own text. */

/** What is on a device has to be given back. */
type Keepable = { byteLength: number; [Symbol.dispose]?: () => void };

export class PrefixCache<Values extends Keepable> {
  readonly #budgetBytes: number;
  /** Least recently used first. */
  readonly #kept = new Map<string, Values>();
  #bytes = 0;
  /** Look-ups that found something, and those that did not. */
  readonly lookups = { hits: 0, misses: 0 };

  /** @param budgetBytes 0 keeps nothing */
  constructor(budgetBytes: number) {
    this.#budgetBytes = budgetBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(key: string): Values | undefined {
    const values = this.#kept.get(key);
    this.lookups[values === undefined ? 'misses' : 'hits'] += 1;
    if (values === undefined) return undefined;
    this.#kept.delete(key);
    this.#kept.set(key, values);
    return values;
  }

  /** Whether values of this size are kept at all. */
  takes(bytes: number): boolean {
    return bytes <= this.#budgetBytes;
  }

  /** Takes the values over. Makes room by forgetting what was not used for longest. */
  keep(key: string, values: Values): void {
    if (!this.takes(values.byteLength) || this.#kept.has(key)) {
      values[Symbol.dispose]?.();
      return;
    }
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes + values.byteLength <= this.#budgetBytes) break;
      this.#forget(oldest);
    }
    this.#kept.set(key, values);
    this.#bytes += values.byteLength;
  }

  clear(): void {
    for (const key of this.#kept.keys()) this.#forget(key);
  }

  #forget(key: string): void {
    const values = this.#kept.get(key);
    this.#kept.delete(key);
    this.#bytes -= values?.byteLength ?? 0;
    values?.[Symbol.dispose]?.();
  }
}
