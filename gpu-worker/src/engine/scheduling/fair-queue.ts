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
 * divided by the number of waiting clients, so that newcomers cannot overtake a waiting job for ever.
 * @example
 * const ticket = queue.join({ client: 'a', priority: 'interactive' }, 1);
 * queue.begin(ticket);
 */
export class FairQueue {
  readonly #lines = [new Line(), new Line()];
  readonly #begun = new WeakSet<Ticket>();
  readonly #left = new WeakSet<Ticket>();
  #arrivals = 0;

  /** @param slots sequences that the job has at a time: its share of the whole */
  join({ client, priority }: Caller, slots: number): Ticket {
    const rank = RANKS[priority];
    const start = (this.#lines[rank] as Line).join(client, slots);
    return { rank, start, cost: slots, arrival: this.#arrivals++ };
  }

  /** Whether work on a job has begun. */
  hasBegun(ticket: Ticket): boolean {
    return this.#begun.has(ticket);
  }

  /** Work on a job begins. Only the first call for a ticket counts. */
  begin(ticket: Ticket): void {
    if (this.#begun.has(ticket)) return;
    this.#begun.add(ticket);
    const { rank, start, cost } = ticket;
    (this.#lines[rank] as Line).advance(start, cost);
  }

  /**
   * A job ends. Where work on it never began, its client's next job comes as much earlier; those that wait already keep
   * their places. Only the first call for a ticket counts.
   */
  leave(client: string, ticket: Ticket): void {
    if (this.#begun.has(ticket) || this.#left.has(ticket)) return;
    this.#left.add(ticket);
    (this.#lines[ticket.rank] as Line).leave(client, ticket.cost);
  }
}

/** The virtual time of one priority. */
class Line {
  #now = 0;
  /** Where the last job of each client ends. */
  readonly #ends = new Map<string, number>();

  join(client: string, cost: number): number {
    const start = Math.max(this.#now, this.#ends.get(client) ?? 0);
    this.#ends.set(client, start + cost);
    return start;
  }

  leave(client: string, cost: number): void {
    const end = (this.#ends.get(client) ?? 0) - cost;
    if (end > this.#now) this.#ends.set(client, end);
    else this.#ends.delete(client);
  }

  advance(start: number, cost: number): void {
    this.#now = Math.max(this.#now, start) + cost / Math.max(1, this.#ends.size);
    for (const [client, end] of this.#ends) if (end <= this.#now) this.#ends.delete(client);
  }
}
