/** The embeddings that an isolate used last: the tier in front of the caches that isolates share over the network. */
import { LRUCache } from 'lru-cache';

/** Room for 170 images of a published model in fp32, out of the 128 MB that an isolate has for everything. */
const MAX_BYTES = 16 * 2 ** 20;
/** As long as a deletion in KV may take to reach every location: this tier delays none any further. */
const MAX_AGE_MS = 60_000;

/**
 * Entries must be valid and must not change: they are served as they are.
 * @example
 * const recent = new RecentEmbeddings(Date.now);
 * recent.put('qf/…', { embeddings, image });
 * recent.get('qf/…')?.embeddings;
 */
export class RecentEmbeddings<Entry extends { embeddings: Uint8Array }> {
  readonly #entries: LRUCache<string, Entry>;

  /**
   * @param now milliseconds since the epoch
   * @param maxBytes of embeddings; those used longest ago make room for others
   */
  constructor(now: () => number, maxBytes = MAX_BYTES) {
    this.#entries = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation: ({ embeddings }) => embeddings.byteLength,
      ttl: MAX_AGE_MS,
      // The clock is asked each time: with a resolution, the library would need a timer, which no Worker has between requests.
      ttlResolution: 0,
      perf: { now },
    });
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  put(key: string, entry: Entry): void {
    this.#entries.set(key, entry);
  }

  /** Deletes the entries whose keys begin so. */
  deleteAll(prefix: string): void {
    for (const key of this.#entries.keys()) {
      if (key.startsWith(prefix)) this.#entries.delete(key);
    }
  }
}
