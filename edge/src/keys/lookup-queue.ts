/** Look-ups of keys by clients that nothing tells apart: they wait for each other in order, and not for long. */
import { Crowded, type WorkInHand, type WorkPlace } from '../work-in-hand.ts';

/** Those that wait beyond are refused; each waits with its headers alone, before its body is read. */
const MOST_WAITING = 512;
const LONGEST_WAIT_MS = 2000;
/** How often who waits looks: places of requests that were stopped become free without a word. */
const LOOK_MS = 50;
/** Silence after which one that waits counts as gone: a request that is stopped says nothing. */
const GONE_MS = 20 * LOOK_MS;

type Waiter = { saidAt: number };

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
   * A place, when all that came before have one.
   * @param signal aborted when its client goes away
   * @throws Crowded where too many wait, or it has waited too long
   */
  async take(signal?: AbortSignal): Promise<WorkPlace> {
    const since = this.#now();
    this.#expectRoom(since);
    const waiter: Waiter = { saidAt: since };
    const leave = () => this.#waiting.delete(waiter);
    this.#waiting.add(waiter);
    signal?.addEventListener('abort', leave);
    try {
      for (;;) {
        waiter.saidAt = this.#now();
        const place = this.#isNext(waiter) ? this.#placeFor(signal) : undefined;
        if (place !== undefined) return place;
        if (signal?.aborted || waiter.saidAt - since >= LONGEST_WAIT_MS) throw new Crowded();
        await scheduler.wait(LOOK_MS);
      }
    } finally {
      signal?.removeEventListener('abort', leave);
      leave();
    }
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
