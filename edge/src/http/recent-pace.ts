/** How fast something comes, of late: who was fast once, and has stopped, is slow. */

/** What is older than two of these does not count. */
const WINDOW_MS = 2500;

type Mark = { at: number; come: number };

export class RecentPace {
  #come = 0;
  /** Between one and two windows ago, or the beginning. */
  #before: Mark;
  #recent: Mark;
  #leftAt: number | null = null;

  /** @param now milliseconds, as of all methods */
  constructor(now: number) {
    this.#before = { at: now, come: 0 };
    this.#recent = this.#before;
  }

  /** @param bytes that have come since */
  add(bytes: number, now: number): void {
    this.#advance(this.#leftAt ?? now);
    this.#come += bytes;
  }

  /** From now on nobody waits for more: this time does not count. */
  leave(now: number): void {
    this.#leftAt = now;
  }

  /** Somebody waits for more again. */
  goOn(now: number): void {
    const away = now - (this.#leftAt ?? now);
    this.#leftAt = null;
    if (away === 0) return;
    this.#before = { ...this.#before, at: this.#before.at + away };
    this.#recent = { ...this.#recent, at: this.#recent.at + away };
  }

  /** Bytes a second. @param onItsWay bytes of which nobody knows how many have come */
  at(now: number, onItsWay = 0): number {
    const at = this.#leftAt ?? now;
    this.#advance(at);
    return (1000 * (this.#come + onItsWay - this.#before.come)) / Math.max(at - this.#before.at, 1);
  }

  #advance(now: number): void {
    const age = now - this.#recent.at;
    if (age < WINDOW_MS) return;
    const last = { at: now, come: this.#come };
    // Nothing has come in the whole of the last window.
    this.#before = age >= 2 * WINDOW_MS ? { at: now - WINDOW_MS, come: this.#come } : this.#recent;
    this.#recent = last;
  }
}
