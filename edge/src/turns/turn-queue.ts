/**
 * Who waits for a turn, owner by owner. Nobody can wake those that wait: each says when it looks next, and one that does not look then
 * is late, or gone. Who looks only later takes no turn from those that look now.
 */

/** One that has not looked so long after it was to is gone; what was only late is where it was when it looks next. */
const GONE_MS = 1000;
/** Who looks within this looks now. */
const NOW_MS = 2;
/** Those that are gone are looked for so often. */
const SWEEP_MS = 50;

export type Ticket = { owner: string; number: number; looksAt: number };

export class TurnQueue {
  /** By owner, in the order in which they came; the owner whose turn it is comes first. */
  readonly #waiting = new Map<string, Ticket[]>();
  #count = 0;
  #size = 0;
  #sweepsAt = 0;

  /** How many wait. */
  get size(): number {
    return this.#size;
  }

  /** @param now milliseconds @returns one that is to look at once */
  join(owner: string, now: number): Ticket {
    const ticket = { owner, number: this.#count++, looksAt: now };
    this.#insert(ticket);
    return ticket;
  }

  /** How many of an owner wait. */
  countOf(owner: string): number {
    return this.#waiting.get(owner)?.length ?? 0;
  }

  /** The last of the owner that has most of those that wait; undefined where none does. */
  lastOfMost(): Ticket | undefined {
    let most: readonly Ticket[] = [];
    for (const waiting of this.#waiting.values()) if (waiting.length > most.length) most = waiting;
    return most.at(-1);
  }

  leave(ticket: Ticket): void {
    const waiting = this.#waiting.get(ticket.owner);
    const index = waiting?.indexOf(ticket) ?? -1;
    if (waiting === undefined || index < 0) return;
    waiting.splice(index, 1);
    this.#size--;
    if (waiting.length === 0) this.#waiting.delete(ticket.owner);
  }

  /** Its turn has come: the other owners come first next time. */
  serve(ticket: Ticket): void {
    this.leave(ticket);
    const rest = this.#waiting.get(ticket.owner);
    if (rest === undefined) return;
    this.#waiting.delete(ticket.owner);
    this.#waiting.set(ticket.owner, rest);
  }

  /**
   * To be called by one that looks.
   * @returns whether it is the next, and how many come before it if all go on to wait
   */
  look(ticket: Ticket, now: number): { isNext: boolean; before: number } {
    ticket.looksAt = now;
    if (!(this.#waiting.get(ticket.owner)?.includes(ticket) ?? false)) this.#insert(ticket);
    if (now >= this.#sweepsAt) this.#sweep(now);
    return { isNext: this.#next(now) === ticket, before: this.#before(ticket) };
  }

  /** The first of those that look now. */
  #next(now: number): Ticket | undefined {
    for (const waiting of this.#waiting.values()) {
      const ticket = waiting.find(({ looksAt }) => looksAt <= now + NOW_MS);
      if (ticket !== undefined) return ticket;
    }
    return undefined;
  }

  #before(ticket: Ticket): number {
    const own = this.#waiting.get(ticket.owner)?.indexOf(ticket) ?? 0;
    let before = 0;
    let isEarlier = true;
    for (const [owner, { length }] of this.#waiting) {
      if (owner === ticket.owner) isEarlier = false;
      const most = own + (isEarlier ? 1 : 0);
      before += Math.min(length, most);
    }
    return before;
  }

  #insert(ticket: Ticket): void {
    const waiting = this.#waiting.get(ticket.owner) ?? [];
    const index = waiting.findIndex(({ number }) => number > ticket.number);
    waiting.splice(index < 0 ? waiting.length : index, 0, ticket);
    this.#waiting.set(ticket.owner, waiting);
    this.#size++;
  }

  #sweep(now: number): void {
    this.#sweepsAt = now + SWEEP_MS;
    for (const ticket of [...this.#waiting.values()].flat()) {
      if (now - ticket.looksAt > GONE_MS) this.leave(ticket);
    }
  }
}
