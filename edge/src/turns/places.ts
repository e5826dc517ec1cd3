/**
 * Places that requests take while they are served. A Worker's `finally` does not run for a request that is stopped, as it is when
 * its client is gone: so a place counts only as long as its request says again and again that it is there.
 */

const HEARTBEAT_MS = 500;
/** Silence after which a request counts as gone. A busy isolate is late with its timers: who was only late counts again. */
const GONE_MS = 6 * HEARTBEAT_MS;

/** Who takes a place. */
export type Stay = {
  client?: string | undefined;
  /** Aborted when the client goes away: then the place is free at once. */
  signal?: AbortSignal | undefined;
  /** Milliseconds since the epoch after which it is over in any case. */
  until?: number | undefined;
};

export class Places {
  readonly #now: () => number;
  /** Until when each counts. */
  readonly #taken = new Map<Place, number>();

  /** @param now milliseconds since the epoch */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * How many there are, and whether there is one more, is up to whoever asks.
   * @example using place = places.take({ client, signal, until: deadlineAt });
   */
  take(stay: Stay): Place {
    const { until = Number.POSITIVE_INFINITY } = stay;
    return new Place(stay, {
      say: (place) => {
        const now = this.#now();
        if (now < until) this.#taken.set(place, Math.min(now + GONE_MS, until));
        else this.#taken.delete(place);
      },
      leave: (place) => this.#taken.delete(place),
    });
  }

  /** How many are taken. @param client of whom; left out for those of all */
  count(client?: string): number {
    const now = this.#now();
    let count = 0;
    for (const [place, until] of this.#taken) {
      if (until <= now) this.#taken.delete(place);
      else if (client === undefined || place.client === client) count++;
    }
    return count;
  }
}

type Register = { say: (place: Place) => void; leave: (place: Place) => boolean };

/** One place, taken until it is left. */
export class Place {
  /** Of whom it is; it may become known while it is taken. */
  client: string | undefined;
  readonly #register: Register;
  readonly #signal: AbortSignal | undefined;
  readonly #heartbeat: ReturnType<typeof setInterval>;

  /** For `Places`. */
  constructor({ client, signal }: Stay, register: Register) {
    this.client = client;
    this.#register = register;
    this.#signal = signal;
    register.say(this);
    this.#heartbeat = setInterval(() => register.say(this), HEARTBEAT_MS);
    signal?.addEventListener('abort', this.leave);
    if (signal?.aborted) this.leave();
  }

  /** May be called more than once. */
  readonly leave = (): void => {
    clearInterval(this.#heartbeat);
    this.#signal?.removeEventListener('abort', this.leave);
    this.#register.leave(this);
  };

  [Symbol.dispose](): void {
    this.leave();
  }
}
