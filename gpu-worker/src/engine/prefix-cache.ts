/** Keys and values of the image positions, kept per picture: the next question prefills only its own text. */

export class PrefixCache {
  readonly #budgetBytes: number;
  /** Least recently used first. */
  readonly #kept = new Map<string, Float32Array>();
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

  get(key: string): Float32Array | undefined {
    const values = this.#kept.get(key);
    this.lookups[values === undefined ? 'misses' : 'hits'] += 1;
    if (values === undefined) return undefined;
    this.#kept.delete(key);
    this.#kept.set(key, values);
    return values;
  }

  /** Makes room by forgetting what was not used for longest. */
  keep(key: string, values: Float32Array): void {
    if (values.byteLength > this.#budgetBytes || this.#kept.has(key)) return;
    for (const [oldest, { byteLength }] of this.#kept) {
      if (this.#bytes + values.byteLength <= this.#budgetBytes) break;
      this.#kept.delete(oldest);
      this.#bytes -= byteLength;
    }
    this.#kept.set(key, values);
    this.#bytes += values.byteLength;
  }
}
