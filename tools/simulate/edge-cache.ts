/** What the edge knows of images: embeddings that are cached, and those that a request is having computed now. */
import { LruCache } from './lru-cache.ts';

export type Found = 'cached' | 'absent' | 'pending';

export class EdgeCache {
  readonly #cache: LruCache;
  readonly #flights = new Map<number, (() => void)[]>();

  /** @param room embeddings that are cached at most, of all tiers together; @param ttlMs since they were stored */
  constructor(room: number, ttlMs?: number) {
    this.#cache = new LruCache(room, ttlMs);
  }

  /** Where nothing is there, whoever asked has it computed. */
  find(image: number, now: number): Found {
    if (this.#cache.has(image, now)) return 'cached';
    if (this.#flights.has(image)) return 'pending';
    this.#flights.set(image, []);
    return 'absent';
  }

  /** Waits for the request that has it computed. */
  follow(image: number, then: () => void): void {
    this.#flights.get(image)?.push(then);
  }

  /** It is computed: those who waited go on. */
  store(image: number, now: number): void {
    this.#cache.put(image, now);
    this.leave(image);
  }

  /** Whoever had it computed is gone, or done: those who still wait look again. */
  leave(image: number): void {
    const followers = this.#flights.get(image) ?? [];
    this.#flights.delete(image);
    for (const then of followers) then();
  }
}
