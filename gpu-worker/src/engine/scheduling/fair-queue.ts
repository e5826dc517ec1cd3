/** The order of waiting jobs: interactive before background, and clients by turns within each. */
import type { Caller } from '../protocol.ts';

/** A job's place in the queue. `cost`: slots it needs. */
export type Ticket = {
  readonly rank: number;
  /** In virtual time. It may come to be later while the job waits, when another one of its client begins. */
  readonly start: number;
  readonly cost: number;
  readonly arrival: number;
};

/** Orders tickets for `sort`: negative when `a` goes first. */
export function compareTickets(a: Ticket, b: Ticket): number {
  return a.rank - b.rank || a.start - b.start || a.arrival - b.arrival;
}

const RANKS: Record<Caller['priority'], number> = { interactive: 0, background: 1 };

/**
 * Start-time fair queueing (Goyal et al. 1996). A job starts, in virtual time, where its client's last one ended, but
 * not before now: a client that sends many jobs delays only itself. Virtual time advances with the work that is served,
 * divided by the number of waiting clients, so that newcomers cannot overtake a waiting job for ever.
 *
 * Jobs do not always begin in their order: a small one has a place where a large one has none. So that nobody gains by it,
 * what a client is served moves time no further than to the first of its jobs that wait (those of others hold nothing up: time
 * would stand still for all, and who is served meanwhile would come behind whoever joins then). Of a client's jobs that wait,
 * only the first is ever owed a place before now; and its next job comes behind those that wait and one more, at most.
 *
 * Whoever joins begins or leaves.
 * @example
 * const ticket = queue.join({ client: 'a', priority: 'interactive' }, 1);
 * queue.begin(ticket);
 */
export class FairQueue {
  readonly #lines = [new Line(), new Line()];
  readonly #prepared = new WeakSet<Ticket>();
  #arrivals = 0;

  /** @param slots sequences that the job has at a time: its share of the whole */
  join({ client, priority }: Caller, slots: number): Ticket {
    const rank = RANKS[priority];
    const line = this.#lines[rank] as Line;
    const start = line.startOf(client, slots);
    const ticket = { rank, start, cost: slots, arrival: this.#arrivals++ };
    line.waiting.set(ticket, { client, ticket });
    return ticket;
  }

  /** Whether work on a job has begun, or what is done for it before that. */
  hasBegun(ticket: Ticket): boolean {
    return this.#prepared.has(ticket);
  }

  /** Something is done for a job before it begins: it is charged, and its turn is still to come. */
  prepare(ticket: Ticket): void {
    this.#prepared.add(ticket);
  }

  /** Work on a job begins. Only the first call for a ticket counts. */
  begin(ticket: Ticket): void {
    this.#prepared.add(ticket);
    const line = this.#lines[ticket.rank] as Line;
    const begun = line.waiting.get(ticket);
    if (begun === undefined) return;
    line.waiting.delete(ticket);
    line.advance(begun);
  }

  /**
   * A job ends. Where nothing was done for it, its client's next job comes as much earlier; those that wait already keep
   * their places. Only the first call for a ticket counts.
   */
  leave(client: string, ticket: Ticket): void {
    const line = this.#lines[ticket.rank] as Line;
    if (line.waiting.delete(ticket) && !this.#prepared.has(ticket)) line.refund(client, ticket);
  }
}

type Waiting = { readonly client: string; readonly ticket: Mutable<Ticket> };
type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** The virtual time of one priority. */
class Line {
  /** Those that have neither begun nor left. */
  readonly waiting = new Map<Ticket, Waiting>();
  #now = 0;
  /** Where the last job of each client ends. */
  readonly #ends = new Map<string, number>();

  startOf(client: string, cost: number): number {
    const start = Math.max(this.#now, this.#ends.get(client) ?? 0);
    this.#ends.set(client, start + cost);
    return start;
  }

  refund(client: string, { cost }: Ticket): void {
    const end = (this.#ends.get(client) ?? 0) - cost;
    if (end > this.#now) this.#ends.set(client, end);
    else this.#ends.delete(client);
  }

  advance({ client, ticket: { start, cost } }: Waiting): void {
    const others = this.#othersOf(client);
    const served = Math.max(this.#now, start) + cost / Math.max(1, this.#ends.size);
    const first = others[0]?.start ?? Number.POSITIVE_INFINITY;
    this.#now = Math.max(this.#now, Math.min(served, first));
    const end = Math.max(this.#ends.get(client) ?? 0, this.#forgetCredit(others));
    this.#ends.set(client, Math.min(end, this.#mostDebt(others) + cost));
    for (const [each, end] of this.#ends) if (end <= this.#now) this.#ends.delete(each);
  }

  /** Those of a client that wait, the first in line first. */
  #othersOf(client: string): Mutable<Ticket>[] {
    const own: Mutable<Ticket>[] = [];
    for (const each of this.waiting.values()) if (each.client === client) own.push(each.ticket);
    return own.sort(compareTickets);
  }

  /**
   * Time has passed a client that could not be served: all that it has sent would go before whoever comes next.
   * @returns where the last one ends of those that move
   */
  #forgetCredit(others: readonly Mutable<Ticket>[]): number {
    let next = this.#now;
    for (const ticket of others) {
      if (ticket.start >= next) break;
      ticket.start = next;
      next += ticket.cost;
    }
    return next;
  }

  /** Small jobs that pass a large one are charged, but not one upon the other: time stands still meanwhile, for their client alone. */
  #mostDebt(others: readonly Ticket[]): number {
    return others.reduce((most, { start, cost }) => Math.max(most, start + cost), this.#now);
  }
}
