/**
 * Reads of caches that one request makes by the hundred: a few at a time in an isolate, and clients by turns, so that requests with one
 * read each find the isolate free. Thousands at once would keep it from everything else for a minute.
 */
import { ApiError } from '@blip2/shared/errors';
import { ClientQueue } from './client-queue.ts';

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

/**
 * Who waits says again and again that it does: one that was stopped gets no turn. It looks at what it was given, or is to do, when it is
 * woken: then it goes on in its own request, whose timers come as long as it waits.
 */
type Waiter = {
  isQueued: boolean;
  saidAt: number;
  lease?: symbol;
  /** Why it waits no longer. */
  end?: { reason: unknown };
  /** Whether it is to end the pause of all. */
  isToPause: boolean;
  wake: () => void;
};

export type BulkRead = {
  /** Aborted when the client goes away: then its place is free at once, or it waits no longer; if it goes on all the same, it queues again. */
  signal?: AbortSignal;
  /** Aborted when what asked for it is over, as a request is that has been refused: then it is not read any more, and leaves its place. */
  ended?: AbortSignal;
  /** How long it may wait, milliseconds. */
  longestMs?: number;
};

type Waiting = Record<'signal' | 'ended', AbortSignal | undefined> & { longestMs: number };

export class BulkReads {
  readonly #atATime: number;
  readonly #burstOf: number;
  readonly #leaseMs: number;
  readonly #lookMs: number;
  readonly #now: () => number;
  /** Reads that are under way, and until when each counts. */
  readonly #running = new Map<symbol, number>();
  readonly #waiting = new ClientQueue<Waiter>();
  /** Reads since the last pause. */
  #burst = 0;
  /** Who ends the pause that there is: one that waits. Timers of a request that has its reply, as that of the last read before may have, never come. */
  #pauser: Waiter | undefined;
  #pausesUntil = 0;

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
   * @throws ApiError `overloaded` where it would wait for longer than it may; the reason of `ended`
   * @example await bulkReads.run(client, () => cache.read(id, context), { signal: context.signal })
   */
  async run<T>(
    client: string,
    read: (renew: () => void) => Promise<T>,
    { signal, ended, longestMs = Number.POSITIVE_INFINITY }: BulkRead = {},
  ): Promise<T> {
    const lease = await this.#turn(client, { signal, ended, longestMs });
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
    // Nothing of a request that has its reply need go on, and so say that it has ended.
    const leaveUnread = () => {
      end();
      this.#serve();
    };
    signal?.addEventListener('abort', leave);
    ended?.addEventListener('abort', leaveUnread);
    try {
      // It may have ended once its turn had come.
      ended?.throwIfAborted();
      renew();
      return await read(renew);
    } finally {
      signal?.removeEventListener('abort', leave);
      ended?.removeEventListener('abort', leaveUnread);
      end();
      this.#serve();
    }
  }

  async #turn(client: string, { signal, ended, longestMs }: Waiting): Promise<symbol> {
    ended?.throwIfAborted();
    let woken = Promise.withResolvers<void>();
    const waiter: Waiter = {
      isQueued: false,
      saidAt: 0,
      isToPause: false,
      wake: () => woken.resolve(),
    };
    const since = this.#now();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const endFor = (reason: unknown) => {
      waiter.end = { reason };
      waiter.wake();
    };
    const look = () => {
      waiter.saidAt = this.#now();
      if (waiter.saidAt - since > longestMs) {
        endFor(tooLong());
        return;
      }
      timer = setTimeout(look, this.#lookMs);
      if (!waiter.isQueued) this.#waiting.add(client, waiter);
      waiter.isQueued = true;
      this.#serve();
    };
    const remove = () => {
      this.#remove(client, waiter);
      // Its turn may have come, and it does not begin any more.
      if (waiter.lease !== undefined) this.#running.delete(waiter.lease);
    };
    const leave = () => {
      remove();
      this.#serveOthers();
    };
    const end = () => {
      remove();
      endFor(ended?.reason);
      this.#serve();
    };
    signal?.addEventListener('abort', leave);
    ended?.addEventListener('abort', end);
    look();
    try {
      for (;;) {
        await woken.promise;
        woken = Promise.withResolvers<void>();
        if (waiter.end !== undefined) throw waiter.end.reason;
        if (waiter.lease !== undefined) return waiter.lease;
        if (waiter.isToPause) setTimeout(() => this.#resume(waiter));
        waiter.isToPause = false;
      }
    } finally {
      // The one that is set now.
      clearTimeout(timer);
      signal?.removeEventListener('abort', leave);
      ended?.removeEventListener('abort', end);
      this.#remove(client, waiter);
    }
  }

  #remove(client: string, waiter: Waiter): void {
    waiter.isQueued = false;
    this.#waiting.delete(client, waiter);
    if (this.#pauser === waiter) this.#handPauseOn(this.#now());
  }

  /** Timers of a request whose client has left are silent: none of its own is to end a pause. That it has left came from a socket, after all else. */
  #serveOthers(): void {
    this.#pauser = undefined;
    this.#burst = 0;
    this.#serve();
  }

  #serve(): void {
    const now = this.#now();
    for (const [lease, until] of this.#running) if (until <= now) this.#running.delete(lease);
    while (this.#running.size < this.#atATime) {
      if (this.#waiting.isEmpty) return;
      if (this.#burst >= this.#burstOf) {
        this.#pause(now);
        return;
      }
      const waiter = this.#waiting.take((one) => this.#isThere(one, now));
      if (waiter === undefined) return;
      this.#burst += 1;
      const lease = Symbol();
      this.#running.set(lease, now + this.#lookMs);
      waiter.lease = lease;
      waiter.wake();
    }
  }

  #isThere(waiter: Waiter, now: number): boolean {
    // It queues again when it looks next, if it was only late.
    waiter.isQueued = now - waiter.saidAt <= 4 * this.#lookMs;
    return waiter.isQueued;
  }

  /** Until all that is under way has ended, and everybody else has had a turn. */
  #pause(now: number): void {
    if (this.#pauser === undefined) this.#handPauseOn(now);
    // It may have been stopped, and its timer with it: then whoever looks next ends the pause.
    else if (now >= this.#pausesUntil) this.#serveOthers();
  }

  #handPauseOn(now: number): void {
    const waiter = this.#waiting.peek((one) => this.#isThere(one, now));
    this.#pauser = waiter;
    if (waiter === undefined) return;
    this.#pausesUntil = now + this.#lookMs;
    waiter.isToPause = true;
    waiter.wake();
  }

  #resume(waiter: Waiter): void {
    if (this.#pauser === waiter) this.#serveOthers();
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
