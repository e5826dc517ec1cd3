/**
 * How much of the engine's time background work gets. What runs is never interrupted: who asks waits until it is done, half of it
 * on average. While people ask, background work therefore rests after each action, so that most of them find the engine free.
 */

/** So long after somebody has asked, others are expected. */
const RECENT_MS = 10_000;
/** Most images are decoded in less; longer than that the engine is not idle for those that are, however many come. */
const EXPECTED_MS = 60;

export class BackgroundShare {
  readonly #share: number;
  /** Milliseconds of any clock that only goes forward. */
  readonly #now: () => number;
  #askedAt = Number.NEGATIVE_INFINITY;
  #restsUntil = Number.NEGATIVE_INFINITY;
  #expectedUntil = Number.NEGATIVE_INFINITY;
  /** When those that were expected first held up work that was due, since the last that ran. */
  #heldSince: number | undefined;

  /** @param share of the time, more than 0; 1 rests never */
  constructor(share: number, now: () => number = () => performance.now()) {
    this.#share = share;
    this.#now = now;
  }

  /** To be called when somebody asks, and with each action for somebody who waits. */
  asked(): void {
    this.#askedAt = this.#now();
  }

  /** To be called when somebody's image has come and is being decoded: work that began meanwhile would not be done when it is. */
  expect(): void {
    this.asked();
    this.#expectedUntil = this.#now() + EXPECTED_MS;
  }

  /** To be called after an action that nobody waits for. @param ms that it took */
  ran(ms: number): void {
    this.#heldSince = undefined;
    this.#restsUntil = this.#now() + ms * (1 / this.#share - 1);
  }

  /** Milliseconds until background work is due again; 0 when it is. */
  get restMs(): number {
    const now = this.#now();
    const recentUntil = this.#askedAt + RECENT_MS;
    return Math.max(
      0,
      Math.min(Math.max(this.#restsUntil, this.#heldUntil(now)), recentUntil) - now,
    );
  }

  #heldUntil(now: number): number {
    if (this.#share >= 1 || now < this.#restsUntil || now >= this.#expectedUntil) return -Infinity;
    this.#heldSince ??= now;
    return Math.min(this.#expectedUntil, this.#heldSince + EXPECTED_MS);
  }
}
