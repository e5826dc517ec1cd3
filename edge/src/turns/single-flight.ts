/**
 * One encode, or read, for all requests of this isolate that need the same at the same time.
 *
 * The first request leads, the others follow. A leader that fails, or whose client goes away, is succeeded by the next
 * request. Cloudflare may stop a request without running its `finally`, and a promise of a stopped request never
 * settles: so each leader has a timer as its heartbeat, and followers watch it. A leader that lives and never settles is
 * gone after the time that an encode may take, whatever its heart does.
 */
import { ApiError } from '@blip2/shared/errors';

const HEARTBEAT_MS = 500;
/** Silence after which a leader counts as gone, and a finished flight as over. */
const GONE_MS = 3 * HEARTBEAT_MS;

export type Leader<Value> = {
  role: 'leader';
  /** When the value's source was sent last by any that joined, milliseconds since the epoch. */
  readonly sentAt: number;
  /** Hands the value to the followers. The flight is over when `stored` settles: from then on a cache has it. */
  settle(value: Value, stored: Promise<unknown>): void;
  /** Hands the followers an error that each of them would get, too. */
  fail(error: unknown): void;
  /** Lets the next lead; does nothing after `settle` or `fail`. */
  leave(): void;
};

export type Follower<Value> = {
  role: 'follower';
  /** True when the value was there already. */
  settled: boolean;
  /** The value, or null when the leader is gone: join again. */
  wait(waiting: Waiting): Promise<Value | null>;
};

/** A request that waits: until its client goes away, or its deadline is over. */
type Waiting = { signal: AbortSignal; deadlineAt: number };

type Flight<Value> = {
  startedAt: number;
  sentAt: number;
  outcome: { value: Value } | { error: unknown } | 'left' | undefined;
  lastHeartbeatAt: number;
  decided: PromiseWithResolvers<void>;
};

/**
 * @example
 * const flight = flights.join(imageId, context.startedAt);
 * if (flight.role === 'follower') return await flight.wait(context);
 * try {
 *   const value = await encode();
 *   flight.settle(value, cache.put(imageId, value));
 * } finally {
 *   flight.leave();
 * }
 */
export class SingleFlight<Key, Value> {
  readonly #now: () => number;
  readonly #flights = new Map<Key, Flight<Value>>();

  readonly #lifeMs: number;

  /**
   * @param now milliseconds since the epoch
   * @param lifeMs how long a flight may last, from its beginning until a cache has the value
   */
  constructor(now: () => number, lifeMs: number) {
    this.#now = now;
    this.#lifeMs = lifeMs + GONE_MS;
  }

  /** @param sentAt when this request sent what the value is computed from, milliseconds since the epoch */
  join(key: Key, sentAt: number): Leader<Value> | Follower<Value> {
    return this.follow(key, sentAt) ?? this.#lead(key, sentAt);
  }

  /** A follower where there is a leader, else null. @param sentAt absent where this request could not lead */
  follow(key: Key, sentAt?: number): Follower<Value> | null {
    this.#endGone();
    const flight = this.#flights.get(key);
    if (flight === undefined) return null;
    // A deletion between the two, by another isolate, must not take along what was sent after it.
    if (sentAt !== undefined) flight.sentAt = Math.max(flight.sentAt, sentAt);
    return {
      role: 'follower',
      settled: flight.outcome !== undefined,
      wait: (waiting) => this.#waitFor(flight, waiting),
    };
  }

  /** Lets nobody else join these flights: who follows already gets the value. */
  close(isClosed: (key: Key) => boolean): void {
    for (const key of this.#flights.keys()) if (isClosed(key)) this.#flights.delete(key);
  }

  #lead(key: Key, sentAt: number): Leader<Value> {
    const flight: Flight<Value> = {
      startedAt: this.#now(),
      sentAt,
      outcome: undefined,
      lastHeartbeatAt: this.#now(),
      decided: Promise.withResolvers(),
    };
    this.#flights.set(key, flight);
    const heartbeat = setInterval(() => {
      flight.lastHeartbeatAt = this.#now();
      if (this.#isGone(flight)) clearInterval(heartbeat);
    }, HEARTBEAT_MS);
    const end = () => {
      clearInterval(heartbeat);
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    };
    const decide = (outcome: Flight<Value>['outcome']) => {
      if (flight.outcome !== undefined) return false;
      flight.outcome = outcome;
      flight.decided.resolve();
      return true;
    };
    return {
      role: 'leader',
      get sentAt() {
        return flight.sentAt;
      },
      settle: (value, stored) => {
        if (decide({ value })) stored.then(end, end);
      },
      fail: (error) => {
        if (decide({ error })) end();
      },
      leave: () => {
        if (decide('left')) end();
      },
    };
  }

  #endGone(): void {
    for (const [key, flight] of this.#flights) {
      if (this.#isGone(flight)) this.#flights.delete(key);
    }
  }

  #isGone({ lastHeartbeatAt, startedAt }: Flight<Value>): boolean {
    const now = this.#now();
    return lastHeartbeatAt < now - GONE_MS || startedAt < now - this.#lifeMs;
  }

  async #waitFor(flight: Flight<Value>, { signal, deadlineAt }: Waiting): Promise<Value | null> {
    while (flight.outcome === undefined) {
      signal.throwIfAborted();
      if (this.#now() > deadlineAt) throw tooLate();
      if (this.#isGone(flight)) return null;
      await Promise.race([flight.decided.promise, delay(HEARTBEAT_MS / 2)]);
    }
    if (flight.outcome === 'left') return null;
    if ('error' in flight.outcome) throw flight.outcome.error;
    return flight.outcome.value;
  }
}

function tooLate(): ApiError {
  const detail = 'Another request computes the embeddings of this image, and was not done in time.';
  return new ApiError('deadline-exceeded', detail);
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
