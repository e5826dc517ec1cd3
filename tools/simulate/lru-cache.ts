/** What is cached of images: the least recently used makes room, and nothing outlives its time. */

export class LruCache {
  /** When each entry expires, milliseconds; the one used longest ago first. */
  readonly #entries = new Map<number, number>();
  readonly #room: number;
  readonly #ttlMs: number;

  /** @param room entries at most */
  constructor(room: number, ttlMs = Number.POSITIVE_INFINITY) {
    this.#room = room;
    this.#ttlMs = ttlMs;
  }

  /** Whether it is there; if so, it is the last to go. */
  has(key: number, now: number): boolean {
    const until = this.#entries.get(key);
    if (until === undefined) return false;
    this.#entries.delete(key);
    if (until <= now) return false;
    this.#entries.set(key, until);
    return true;
  }

  put(key: number, now: number): void {
    if (this.#room < 1) return;
    this.#entries.delete(key);
    this.#entries.set(key, now + this.#ttlMs);
    if (this.#entries.size <= this.#room) return;
    const [oldest] = this.#entries.keys();
    this.#entries.delete(oldest!);
  }

  /** Whether it is there, whenever it expires; it is no more recently used for that. */
  peek(key: number): boolean {
    return this.#entries.has(key);
  }
}
