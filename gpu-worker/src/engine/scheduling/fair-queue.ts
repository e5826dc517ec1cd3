/** Who goes first: interactive before background, and among those each client in its turn. */
import type { Standing } from '../protocol.ts';

/** Where a job stands in line; it keeps its place until it is done. `cost`: rows it takes. */
export type Place = {
  readonly rank: number;
  readonly start: number;
  readonly cost: number;
  readonly arrival: number;
};

/** Of two places, negative when `a` goes first. */
export function compare(a: Place, b: Place): number {
  return a.rank - b.rank || a.start - b.start || a.arrival - b.arrival;
}

const RANKS: Record<Standing['priority'], number> = { interactive: 0, background: 1 };

/**
 * Start-time fair queueing (Goyal et al. 1996). A job starts, in virtual time, where its client's last one ended, but
 * not before now: whoever sends many waits behind them alone. Time goes on with what is served, shared among those who
 * ask: nobody who waits is overtaken for ever by clients who come anew.
 */
export class FairOrder {
  readonly #lines = [new Line(), new Line()];
  readonly #begun = new WeakSet<Place>();
  #arrivals = 0;

  /** @param rows texts that the job writes at a time: what it takes of the whole */
  join({ client, priority }: Standing, rows: number): Place {
    const rank = RANKS[priority];
    const start = (this.#lines[rank] as Line).join(client, rows);
    return { rank, start, cost: rows, arrival: this.#arrivals++ };
  }

  /** Told when work on a job begins; of what it does later nothing new is heard. */
  begin(place: Place): void {
    if (this.#begun.has(place)) return;
    this.#begun.add(place);
    const { rank, start, cost } = place;
    (this.#lines[rank] as Line).advance(start, cost);
  }
}

class Line {
  #now = 0;
  /** Where the last job of each client ends. */
  readonly #ends = new Map<string, number>();

  join(client: string, cost: number): number {
    const start = Math.max(this.#now, this.#ends.get(client) ?? 0);
    this.#ends.set(client, start + cost);
    return start;
  }

  advance(start: number, cost: number): void {
    this.#now = Math.max(this.#now, start) + cost / Math.max(1, this.#ends.size);
    for (const [client, end] of this.#ends) if (end <= this.#now) this.#ends.delete(client);
  }
}
