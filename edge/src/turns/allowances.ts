/** What each client may do at once of work that is cheap by the piece: a thousand connections with a cheap piece each are dear together. */
import { LRUCache } from 'lru-cache';

/** What may be done at once after a second without any, milliseconds. */
const MOST_MS = 100;
/** Part of the time that comes to it. */
const SHARE = 0.1;
/** Whoever is forgotten has all of it again. */
const MAX_CLIENTS = 4096;

type Allowance = { left: number; at: number };

export class Allowances {
  readonly #now: () => number;
  /** By client. */
  readonly #each = new LRUCache<string, Allowance>({ max: MAX_CLIENTS });

  /** @param now milliseconds since the epoch */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Takes some of what a client has left; the last piece may be more than that.
   * @param ms what it does now
   * @returns whether it had any
   */
  take(client: string, ms: number): boolean {
    const isAllowed = this.#left(client) > 0;
    this.charge(client, isAllowed ? ms : 0);
    return isAllowed;
  }

  /** @param ms what it has done, whether it had that left or not */
  charge(client: string, ms: number): void {
    this.#each.set(client, { left: this.#left(client) - ms, at: this.#now() });
  }

  #left(client: string): number {
    const now = this.#now();
    const { left, at } = this.#each.get(client) ?? { left: MOST_MS, at: now };
    return Math.min(left + SHARE * Math.max(now - at, 0), MOST_MS);
  }
}
