/**
 * One encode for all requests of this isolate that need the same image at the same time.
 *
 * The first request leads, the others follow. A leader that fails, or whose client goes away, leaves its
 * place to the next. Cloudflare may stop a request without running its `finally`, and a promise of a stopped
 * request never settles: so leaders show that they live by a timer of their own, and followers look.
 */

const BEAT_MS = 500;
/** Silence after which a leader counts as gone, and a finished flight as forgotten. */
const GONE_MS = 3 * BEAT_MS;

export type Leader<T> = {
  role: 'leader';
  /** Hands the value to the followers. The flight ends when `kept` does: from then on a cache has it. */
  settle(value: T, kept: Promise<unknown>): void;
  /** Hands an error to the followers that each of them would meet, too. */
  fail(error: unknown): void;
  /** Leaves the place to the next; does nothing after `settle` or `fail`. */
  leave(): void;
};

export type Follower<T> = {
  role: 'follower';
  /** True when the value was there already. */
  settled: boolean;
  /** The value, or null when the leader is gone: join again. */
  wait(signal: AbortSignal): Promise<T | null>;
};

type Flight<T> = {
  outcome: { value: T } | { error: unknown } | 'left' | undefined;
  seenAt: number;
  changed: PromiseWithResolvers<void>;
};

export class SingleFlight<T> {
  readonly #flights = new Map<string, Flight<T>>();

  join(key: string): Leader<T> | Follower<T> {
    return this.follow(key) ?? this.#lead(key);
  }

  /** A follower's place where somebody leads, else null. */
  follow(key: string): Follower<T> | null {
    this.#forgetSilent();
    const flight = this.#flights.get(key);
    if (flight === undefined) return null;
    return {
      role: 'follower',
      settled: flight.outcome !== undefined,
      wait: (signal) => waitFor(flight, signal),
    };
  }

  #lead(key: string): Leader<T> {
    const flight: Flight<T> = {
      outcome: undefined,
      seenAt: Date.now(),
      changed: Promise.withResolvers(),
    };
    this.#flights.set(key, flight);
    const beat = setInterval(() => {
      flight.seenAt = Date.now();
    }, BEAT_MS);
    const forget = () => {
      clearInterval(beat);
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    };
    const decide = (outcome: Flight<T>['outcome']) => {
      if (flight.outcome !== undefined) return false;
      flight.outcome = outcome;
      flight.changed.resolve();
      return true;
    };
    return {
      role: 'leader',
      settle: (value, kept) => {
        if (decide({ value })) kept.then(forget, forget);
      },
      fail: (error) => {
        if (decide({ error })) forget();
      },
      leave: () => {
        if (decide('left')) forget();
      },
    };
  }

  #forgetSilent(): void {
    const oldest = Date.now() - GONE_MS;
    for (const [key, { seenAt }] of this.#flights) {
      if (seenAt < oldest) this.#flights.delete(key);
    }
  }
}

async function waitFor<T>(flight: Flight<T>, signal: AbortSignal): Promise<T | null> {
  while (flight.outcome === undefined) {
    signal.throwIfAborted();
    if (flight.seenAt < Date.now() - GONE_MS) return null;
    await Promise.race([flight.changed.promise, delay(BEAT_MS / 2)]);
  }
  if (flight.outcome === 'left') return null;
  if ('error' in flight.outcome) throw flight.outcome.error;
  return flight.outcome.value;
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
