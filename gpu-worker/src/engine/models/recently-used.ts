/** What was computed for an image and may be asked for again, within a budget of memory. */
import type { KeptMemory } from '../stats.ts';

export class RecentlyUsed<T> {
  readonly #budgetBytes: number;
  /** Least recently used first. */
  readonly #kept = new Map<string, { value: T; bytes: number }>();
  #bytes = 0;
  /** Look-ups that found something, and those that did not. */
  readonly #lookups = { hits: 0, misses: 0 };

  /** @param budgetBytes 0 keeps nothing */
  constructor(budgetBytes: number) {
    this.#budgetBytes = budgetBytes;
  }

  get memory(): KeptMemory {
    return { ...this.#lookups, bytes: this.#bytes };
  }

  get(key: string): T | undefined {
    const entry = this.#kept.get(key);
    this.#lookups[entry === undefined ? 'misses' : 'hits'] += 1;
    if (entry === undefined) return undefined;
    this.#kept.delete(key);
    this.#kept.set(key, entry);
    return entry.value;
  }

  /** Makes room by forgetting what was not used for longest. */
  keep(key: string, value: T, bytes: number): void {
    if (bytes > this.#budgetBytes || this.#kept.has(key)) return;
    for (const [oldest, entry] of this.#kept) {
      if (this.#bytes + bytes <= this.#budgetBytes) break;
      this.#kept.delete(oldest);
      this.#bytes -= entry.bytes;
    }
    this.#kept.set(key, { value, bytes });
    this.#bytes += bytes;
  }
}
