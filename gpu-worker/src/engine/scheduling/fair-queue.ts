/** The order of waiting jobs: interactive before background, and clients by turns within each. */
import type { Caller } from '../protocol.ts';

/** A job's place in the queue, the same until the job is done. `cost`: slots it needs. */
export type Ticket = {
  readonly rank: number;
  /** In virtual time. */
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
 * divided by the number of waiting clients, so that newcomers cannot overtake a waiting job for ever. It never passes the first
 * job that waits: jobs do not always begin in their order (a small one has a place where a large one has none), and a client's last
 * that is served before its others would let those pass whoever comes next.
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
    line.waiting.add(ticket);
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
    if (line.waiting.delete(ticket)) line.advance(ticket);
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

/** The virtual time of one priority. */
class Line {
  /** Those that have neither begun nor left. */
  readonly waiting = new Set<Ticket>();
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

  advance({ start, cost }: Ticket): void {
    const served = Math.max(this.#now, start) + cost / Math.max(1, this.#ends.size);
    let first = Number.POSITIVE_INFINITY;
    for (const ticket of this.waiting) first = Math.min(first, ticket.start);
    this.#now = Math.max(this.#now, Math.min(served, first));
    for (const [client, end] of this.#ends) if (end <= this.#now) this.#ends.delete(client);
  }
}
