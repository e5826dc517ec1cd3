/**
 * How much of the engine's time background work gets. What runs is never interrupted: who asks waits until it is done, half of it
 * on average. While people ask, background work therefore rests after each action, so that most of them find the engine free.
 */

/** So long after somebody has asked, others are expected. */
const RECENT_MS = 10_000;
/** Most images are decoded in less; longer than that the engine is not idle for those that are, however many come. */
const EXPECTED_MS = 60;
/**
 * What people wait for goes first, until background work that is due has stood behind it for so many times as long as its last action
 * took: with its rest at a quarter that is 5 % of the time. Without it one client with two images under way keeps all jobs from ever
 * being done.
 */
const OVERDUE_FACTOR = 16;
/** So long at least: while some ask now and then it has its turn between them, and who asks waits for none of its actions. */
const OVERDUE_LEAST_MS = 1000;

export class BackgroundShare {
  readonly #share: number;
  /** Milliseconds of any clock that only goes forward. */
  readonly #now: () => number;
  #askedAt = Number.NEGATIVE_INFINITY;
  #restsUntil = Number.NEGATIVE_INFINITY;
  #expectedUntil = Number.NEGATIVE_INFINITY;
  /** When those that were expected first held up work that was due, since the last that ran. */
  #heldSince: number | undefined;
  /** Time of others in which it was due, less what it had of it; no more than makes it overdue. */
  #owedMs = 0;
  /** What its last action took, with the time in which others stood behind it in line for slots. */
  #lastMs = 0;
  /** Such time since its last action. */
  #inLineMs = 0;

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
    this.#lastMs = ms + this.#inLineMs;
    this.#inLineMs = 0;
    this.#owe(-OVERDUE_FACTOR * this.#lastMs);
    this.#restsUntil = this.#now() + ms * (1 / this.#share - 1);
  }

  /**
   * To be called after an action for somebody who waits.
   * @param ms that it took
   * @param isWaiting whether background work could do nothing for that
   */
  heldUp(ms: number, isWaiting: boolean): void {
    if (!isWaiting) this.#owedMs = 0;
    else if (this.restMs === 0) this.#owe(ms);
  }

  /**
   * To be called after an action for which it gets no slots, though it is the first in line, while others wait behind it: a group as wide as
   * all slots waits until nobody has any, and is not to do that all the time.
   * @param ms that it took
   */
  waitedInLine(ms: number): void {
    this.#inLineMs += ms;
  }

  /** Whether it has stood behind what people wait for so long that one action of it goes before that. */
  get isOverdue(): boolean {
    return this.#owedMs >= this.#mostOwedMs && this.restMs === 0;
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

  get #mostOwedMs(): number {
    return Math.max(OVERDUE_LEAST_MS, OVERDUE_FACTOR * this.#lastMs);
  }

  #owe(ms: number): void {
    this.#owedMs = Math.min(Math.max(0, this.#owedMs + ms), this.#mostOwedMs);
  }

  #heldUntil(now: number): number {
    if (this.#share >= 1 || now < this.#restsUntil || now >= this.#expectedUntil) return -Infinity;
    this.#heldSince ??= now;
    return Math.min(this.#expectedUntil, this.#heldSince + EXPECTED_MS);
  }
}
