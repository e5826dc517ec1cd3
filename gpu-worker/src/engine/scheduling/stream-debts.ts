/**
 * What each client owes to the streams of others: its images and prompts have kept them waiting. Who sends many images would else have an
 * encode between any two tokens of everybody, and most of the engine's time.
 */

/** What is a client's of an action, in any unit that is more than 0. */
export type Part = { readonly client: string; readonly part: number };

/** The most that a client owes, unless one action took longer: so long after a burst others no longer wait for what it was. */
const MOST_MS = 1000;

/**
 * Time that passes pays debts, but not that in which an image or a prompt is computed, whoever wants it. So a client gets as much time
 * between the steps of others as these steps have: half of it beside any number of them. A request that is given up is no longer
 * known here, and what was spent for it is owed all the same.
 * @example
 * debts.charge([{ client: 'a', part: 1 }], 50);
 * debts.owes('a'); // until 50 ms have passed
 */
export class StreamDebts {
  readonly #now: () => number;
  /** Milliseconds in which images and prompts were computed. */
  #interruptedMs = 0;
  /** When each client has paid, in milliseconds that pay. */
  readonly #paidAt = new Map<string, number>();

  /** @param now milliseconds of any clock that only goes forward */
  constructor(now: () => number) {
    this.#now = now;
  }

  owes(client: string): boolean {
    return (this.#paidAt.get(client) ?? Number.NEGATIVE_INFINITY) > this.#paying;
  }

  /**
   * To be called after each action that is no step.
   * @param ms that it took
   */
  charge(parts: readonly Part[], ms: number): void {
    this.#interruptedMs += ms;
    const now = this.#paying;
    for (const [client, paidAt] of this.#paidAt) {
      if (paidAt <= now) this.#paidAt.delete(client);
    }
    const sum = parts.reduce((total, { part }) => total + part, 0);
    for (const { client, part } of parts) {
      const own = (ms * part) / sum;
      const owed = Math.max(now, this.#paidAt.get(client) ?? now) + own;
      this.#paidAt.set(client, Math.min(owed, now + Math.max(MOST_MS, own)));
    }
  }

  /** A clock that stands still while images and prompts are computed. */
  get #paying(): number {
    return this.#now() - this.#interruptedMs;
  }
}
