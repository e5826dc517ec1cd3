/** The embeddings that an isolate used last: in front of the caches that isolates share, which are a network away. */
import { LRUCache } from 'lru-cache';

/** Room for 170 images of a published model in fp32, out of the 128 MB that an isolate has for everything. */
const MAX_BYTES = 16 * 2 ** 20;

/**
 * What is put here must not change, and must have been checked: it is served as it is.
 * @example
 * const recent = new RecentEmbeddings();
 * recent.put('qf/…', { embeddings, image });
 * recent.get('qf/…')?.embeddings;
 */
export class RecentEmbeddings<Entry extends { embeddings: Uint8Array }> {
  readonly #entries: LRUCache<string, Entry>;

  /** @param maxBytes of embeddings; those used longest ago make room for others */
  constructor(maxBytes = MAX_BYTES) {
    this.#entries = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation: ({ embeddings }) => embeddings.byteLength,
    });
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  put(key: string, entry: Entry): void {
    this.#entries.set(key, entry);
  }
}
