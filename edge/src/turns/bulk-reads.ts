/**
 * Reads of caches that one request makes by the hundred: a few at a time in an isolate, and clients by turns, so that requests with one
 * read each find the isolate free. Thousands at once would keep it from everything else for a minute.
 */

const AT_A_TIME = 12;
/**
 * So many follow each other. workerd looks at its sockets only when nothing else is left to do: where caches are in its own process, reads
 * without a pause would keep everybody out.
 */
const BURST = 16;
/** Cloudflare may stop a request without running its `finally`: its place is free again after this. One read more at a time does no harm. */
const LEASE_MS = 1000;
/** How often who waits looks by itself. */
const LOOK_MS = 250;

/** Who waits says again and again that it does: one that was stopped gets no turn. */
type Waiter = { resolve: (lease: symbol) => void; isQueued: boolean; saidAt: number };

export class BulkReads {
  readonly #atATime: number;
  readonly #burstOf: number;
  readonly #leaseMs: number;
  readonly #now: () => number;
  /** Reads that are under way, and until when each counts. */
  readonly #running = new Map<symbol, number>();
  /** Who waits, by client; the client whose turn it is comes first. */
  readonly #waiting = new Map<string, Waiter[]>();
  /** Reads since the last pause. */
  #burst = 0;
  #pausesUntil = Number.NEGATIVE_INFINITY;

  /**
   * @param now milliseconds since the epoch
   * @param burst how many follow each other before everybody else has a turn
   * @param leaseMs what takes longer no longer counts: others begin beside it
   */
  constructor(
    atATime = AT_A_TIME,
    now: () => number = Date.now,
    { burst = BURST, leaseMs = LEASE_MS }: { burst?: number; leaseMs?: number } = {},
  ) {
    this.#leaseMs = leaseMs;
    this.#atATime = atATime;
    this.#burstOf = burst;
    this.#now = now;
  }

  /**
   * Runs a read when it is its client's turn.
   * @param client for whom
   * @example await bulkReads.run(context.client ?? '', () => cache.read(id, context))
   */
  async run<T>(client: string, read: () => Promise<T>): Promise<T> {
    const lease = await this.#turn(client);
    try {
      return await read();
    } finally {
      this.#running.delete(lease);
      this.#serve();
    }
  }

  async #turn(client: string): Promise<symbol> {
    const turn = Promise.withResolvers<symbol>();
    const waiter: Waiter = { resolve: turn.resolve, isQueued: false, saidAt: 0 };
    let timer: ReturnType<typeof setTimeout>;
    const look = () => {
      timer = setTimeout(look, LOOK_MS);
      waiter.saidAt = this.#now();
      if (!waiter.isQueued) this.#enqueue(client, waiter);
      this.#serve();
    };
    look();
    try {
      return await turn.promise;
    } finally {
      // The one that is set now.
      clearTimeout(timer!);
    }
  }

  #enqueue(client: string, waiter: Waiter): void {
    const mine = this.#waiting.get(client) ?? [];
    mine.push(waiter);
    waiter.isQueued = true;
    this.#waiting.set(client, mine);
  }

  #serve(): void {
    const now = this.#now();
    for (const [lease, until] of this.#running) if (until <= now) this.#running.delete(lease);
    while (this.#running.size < this.#atATime) {
      const [next] = this.#waiting;
      if (next === undefined) return;
      if (this.#burst >= this.#burstOf) {
        this.#pause(now);
        return;
      }
      const [client, waiting] = next;
      const waiter = waiting.shift();
      // The others come first next time.
      this.#waiting.delete(client);
      if (waiting.length > 0) this.#waiting.set(client, waiting);
      if (waiter === undefined) continue;
      if (now - waiter.saidAt > 4 * LOOK_MS) {
        // It queues again when it looks next, if it was only late.
        waiter.isQueued = false;
        continue;
      }
      this.#burst += 1;
      const lease = Symbol();
      this.#running.set(lease, now + this.#leaseMs);
      waiter.resolve(lease);
    }
  }

  /** Until all that is under way has ended, and everybody else has had a turn. */
  #pause(now: number): void {
    // Its request may have been stopped, and its timer with it: then whoever looks next ends the pause.
    if (now < this.#pausesUntil) return;
    if (this.#pausesUntil !== Number.NEGATIVE_INFINITY) {
      this.#resume();
      return;
    }
    this.#pausesUntil = now + LOOK_MS;
    setTimeout(() => this.#resume());
  }

  #resume(): void {
    if (this.#pausesUntil === Number.NEGATIVE_INFINITY) return;
    this.#pausesUntil = Number.NEGATIVE_INFINITY;
    this.#burst = 0;
    this.#serve();
  }
}

/** Of this isolate, for requests: Durable Objects may not wait for one another so. */
export const bulkReads = new BulkReads();

/**
 * Pieces of job results that are read: one at a time and a pause after each, clients by turns. Each ends before it waits for
 * anything, so that a place that is taken for longer is that of a request that was stopped.
 */
export const resultReads = new BulkReads(4, Date.now, { burst: 1, leaseMs: 100 });

/**
 * Long bodies in which somebody looks for what they cost, in pieces with pauses: one at a time, clients by turns. What was stopped in
 * its midst is over after a second.
 */
export const bodyLooks = new BulkReads(1, Date.now, { burst: 1 });
