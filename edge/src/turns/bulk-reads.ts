/**
 * Reads of caches that one request makes by the hundred: a few at a time in an isolate, and clients by turns, so that requests with one
 * read each find the isolate free. Thousands at once would keep it from everything else for a minute.
 */
import { ApiError } from '@blip2/shared/errors';

const AT_A_TIME = 12;
/**
 * So many follow each other. workerd looks at its sockets only when nothing else is left to do: where caches are in its own process, reads
 * without a pause would keep everybody out.
 */
const BURST = 16;
/** Cloudflare may stop a request without running its `finally`: its place is free again after this. One read more at a time does no harm. */
const LEASE_MS = 1000;
/** How often who waits looks by itself, and how late one whose turn has come may begin: one that was stopped never does. */
const LOOK_MS = 250;
const RETRY_AFTER_S = 5;

/** Who waits says again and again that it does: one that was stopped gets no turn. */
type Waiter = { resolve: (lease: symbol) => void; isQueued: boolean; saidAt: number };

export type BulkRead = {
  /** Aborted when the client goes away: then its place is free at once, or it waits no longer; if it goes on all the same, it queues again. */
  signal?: AbortSignal;
  /** How long it may wait, milliseconds. */
  longestMs?: number;
};

export class BulkReads {
  readonly #atATime: number;
  readonly #burstOf: number;
  readonly #leaseMs: number;
  readonly #lookMs: number;
  readonly #now: () => number;
  /** Reads that are under way, and until when each counts. */
  readonly #running = new Map<symbol, number>();
  /** Who waits, by client; the client whose turn it is comes first. */
  readonly #waiting = new Map<string, Set<Waiter>>();
  /** Reads since the last pause. */
  #burst = 0;
  #pausesUntil = Number.NEGATIVE_INFINITY;

  /**
   * @param now milliseconds since the epoch
   * @param burst how many follow each other before everybody else has a turn
   * @param leaseMs what takes longer without saying that it goes on no longer counts: others begin beside it
   */
  constructor(
    atATime = AT_A_TIME,
    now: () => number = Date.now,
    { burst = BURST, leaseMs = LEASE_MS }: { burst?: number; leaseMs?: number } = {},
  ) {
    this.#leaseMs = leaseMs;
    this.#lookMs = Math.min(LOOK_MS, leaseMs);
    this.#atATime = atATime;
    this.#burstOf = burst;
    this.#now = now;
  }

  /**
   * Runs a read when it is its client's turn.
   * @param client for whom
   * @param read gets what says that it goes on
   * @throws ApiError `overloaded` where it would wait for longer than it may
   * @example await bulkReads.run(client, () => cache.read(id, context), { signal: context.signal })
   */
  async run<T>(
    client: string,
    read: (renew: () => void) => Promise<T>,
    { signal, longestMs = Number.POSITIVE_INFINITY }: BulkRead = {},
  ): Promise<T> {
    const lease = await this.#turn(client, { signal, longestMs });
    let isOver = false;
    const renew = () => {
      if (!isOver) this.#running.set(lease, this.#now() + this.#leaseMs);
    };
    const end = () => {
      isOver = true;
      this.#running.delete(lease);
    };
    const leave = () => {
      end();
      this.#serveOthers();
    };
    renew();
    signal?.addEventListener('abort', leave);
    try {
      return await read(renew);
    } finally {
      signal?.removeEventListener('abort', leave);
      end();
      this.#serve();
    }
  }

  async #turn(
    client: string,
    { signal, longestMs }: { signal: AbortSignal | undefined; longestMs: number },
  ): Promise<symbol> {
    const turn = Promise.withResolvers<symbol>();
    let given: symbol | undefined;
    const resolve = (lease: symbol) => {
      given = lease;
      turn.resolve(lease);
    };
    const waiter: Waiter = { resolve, isQueued: false, saidAt: 0 };
    const since = this.#now();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = () => {
      waiter.saidAt = this.#now();
      if (waiter.saidAt - since > longestMs) {
        turn.reject(tooLong());
        return;
      }
      timer = setTimeout(look, this.#lookMs);
      if (!waiter.isQueued) this.#enqueue(client, waiter);
      this.#serve();
    };
    const leave = () => {
      this.#remove(client, waiter);
      // Its turn may have come, and it does not begin any more.
      if (given !== undefined) this.#running.delete(given);
      this.#serveOthers();
    };
    signal?.addEventListener('abort', leave);
    look();
    try {
      return await turn.promise;
    } finally {
      // The one that is set now.
      clearTimeout(timer);
      signal?.removeEventListener('abort', leave);
      this.#remove(client, waiter);
    }
  }

  #remove(client: string, waiter: Waiter): void {
    waiter.isQueued = false;
    const mine = this.#waiting.get(client);
    mine?.delete(waiter);
    if (mine?.size === 0) this.#waiting.delete(client);
  }

  /** Timers of a request whose client has left are silent: none of its own is to end a pause. That it has left came from a socket, after all else. */
  #serveOthers(): void {
    this.#pausesUntil = Number.NEGATIVE_INFINITY;
    this.#burst = 0;
    this.#serve();
  }

  #enqueue(client: string, waiter: Waiter): void {
    const mine = this.#waiting.get(client) ?? new Set();
    mine.add(waiter);
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
      const [waiter] = waiting;
      // The others come first next time.
      this.#waiting.delete(client);
      if (waiter === undefined) continue;
      waiting.delete(waiter);
      if (waiting.size > 0) this.#waiting.set(client, waiting);
      if (now - waiter.saidAt > 4 * this.#lookMs) {
        // It queues again when it looks next, if it was only late.
        waiter.isQueued = false;
        continue;
      }
      this.#burst += 1;
      const lease = Symbol();
      this.#running.set(lease, now + this.#lookMs);
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
    this.#pausesUntil = now + this.#lookMs;
    setTimeout(() => this.#resume());
  }

  #resume(): void {
    if (this.#pausesUntil === Number.NEGATIVE_INFINITY) return;
    this.#pausesUntil = Number.NEGATIVE_INFINITY;
    this.#burst = 0;
    this.#serve();
  }
}

function tooLong(): ApiError {
  const detail = 'Other large requests are being read: try again, or send a smaller one.';
  return new ApiError('overloaded', detail, { retry_after: RETRY_AFTER_S });
}

/** Of this isolate, for requests: Durable Objects may not wait for one another so. */
export const bulkReads = new BulkReads();

/**
 * Pieces of job results that are read: one at a time and a pause after each, clients by turns. Each ends before it waits for
 * anything, so that a place that is taken for longer is that of a request that was stopped.
 */
export const resultReads = new BulkReads(4, Date.now, { burst: 1, leaseMs: 100 });

/**
 * Long bodies in which somebody looks for what they cost, in pieces with pauses: one at a time, clients by turns. Each says at every
 * step that it goes on, so that what was stopped in its midst is over soon.
 */
export const bodyLooks = new BulkReads(1, Date.now, { burst: 1, leaseMs: 100 });
