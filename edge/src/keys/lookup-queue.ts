/** Look-ups of keys by clients that nothing tells apart: they wait for each other in order, and not for long. */
import { Crowded, type WorkInHand, type WorkPlace } from '../work-in-hand.ts';

/** Those that wait beyond are refused; each waits with its headers alone, before its body is read. */
const MOST_WAITING = 512;
export const LONGEST_WAIT_MS = 2000;
/** How often the first looks by itself: places of requests that were stopped become free without a word. */
const LOOK_MS = 50;
/** How often all others do: whoever leaves a place wakes the first. */
const LOOK_BEHIND_MS = 250;
/** Silence after which one that waits counts as gone: a request that is stopped says nothing. */
const GONE_MS = 4 * LOOK_BEHIND_MS;

type Waiter = { saidAt: number; wake: () => void };

export class LookupQueue {
  readonly #places: WorkInHand;
  readonly #now: () => number;
  /** In the order in which they came. */
  readonly #waiting = new Set<Waiter>();

  /** @param now milliseconds since the epoch */
  constructor(places: WorkInHand, now: () => number) {
    this.#places = places;
    this.#now = now;
  }

  /**
   * A place, when all that came before have one. To be followed by `freed` once it is left.
   * @param signal aborted when its client goes away
   * @throws Crowded where too many wait, or it has waited too long
   */
  async take(signal?: AbortSignal): Promise<WorkPlace> {
    const since = this.#now();
    this.#expectRoom(since);
    const waiter: Waiter = { saidAt: since, wake: () => {} };
    const leave = () => this.#waiting.delete(waiter);
    this.#waiting.add(waiter);
    signal?.addEventListener('abort', leave);
    try {
      for (;;) {
        waiter.saidAt = this.#now();
        const isNext = this.#isNext(waiter);
        // Taken by the request itself: what says that a place is in use has to end with it.
        const place = isNext ? this.#placeFor(signal) : undefined;
        if (place !== undefined) return place;
        const left = since + LONGEST_WAIT_MS - waiter.saidAt;
        if (signal?.aborted || left <= 0) throw new Crowded();
        await this.#woken(waiter, Math.min(isNext ? LOOK_MS : LOOK_BEHIND_MS, left));
      }
    } finally {
      signal?.removeEventListener('abort', leave);
      leave();
      // There may be another place, or it was woken for one that it did not take.
      this.freed();
    }
  }

  /** A place may be free: the first of those that wait looks. */
  freed(): void {
    const [first] = this.#waiting;
    first?.wake();
  }

  async #woken(waiter: Waiter, ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    waiter.wake = resolve;
    const timer = setTimeout(resolve, ms);
    await promise;
    clearTimeout(timer);
  }

  /** @throws Crowded */
  #expectRoom(now: number): void {
    if (this.#waiting.size < MOST_WAITING) return;
    for (const waiter of this.#waiting) {
      if (now - waiter.saidAt > GONE_MS) this.#waiting.delete(waiter);
    }
    if (this.#waiting.size >= MOST_WAITING) throw new Crowded();
  }

  /** Whether nobody who is still there came before. */
  #isNext(waiter: Waiter): boolean {
    for (const other of this.#waiting) {
      if (other === waiter) return true;
      if (waiter.saidAt - other.saidAt <= GONE_MS) return false;
      this.#waiting.delete(other);
    }
    // One that was only late with its word.
    return true;
  }

  #placeFor(signal?: AbortSignal): WorkPlace | undefined {
    try {
      return this.#places.take(signal);
    } catch (refusal) {
      if (refusal instanceof Crowded) return undefined;
      throw refusal;
    }
  }
}
