/** Whose stored inputs are counted for `dry_run`: one of each owner at a time. */
import { pause } from '../../turns/turns.ts';
import { countsTooLong } from './estimate.ts';

/** Cloudflare may stop a request without running its `finally`: one that has not said by then that it counts on is gone. */
const LEASE_MS = 5000;
/** How often who waits looks: a request that was stopped wakes nobody. */
const LOOK_MS = 100;

export type CountingPlace = {
  /** Says that it counts on. */
  stay: () => void;
  leave: () => void;
};

export class CountingPlaces {
  readonly #now: () => number;
  readonly #pause: (ms: number) => Promise<void>;
  /** By owner, until when the one that counts has its place. */
  readonly #counting = new Map<string, { until: number }>();

  constructor(services = { now: () => Date.now(), pause }) {
    this.#now = services.now;
    this.#pause = services.pause;
  }

  /**
   * Resolves when no other input of this owner is counted.
   * @param isOver whether its request has waited for too long
   * @throws ApiError `deadline-exceeded`
   */
  async take(owner: string, isOver: () => boolean): Promise<CountingPlace> {
    while ((this.#counting.get(owner)?.until ?? 0) > this.#now()) {
      if (isOver()) throw countsTooLong();
      await this.#pause(LOOK_MS);
    }
    for (const [name, { until }] of this.#counting) {
      if (until <= this.#now()) this.#counting.delete(name);
    }
    const place = { until: this.#now() + LEASE_MS };
    this.#counting.set(owner, place);
    return {
      stay: () => {
        place.until = this.#now() + LEASE_MS;
      },
      leave: () => {
        // Another may have begun, where this one was late.
        if (this.#counting.get(owner) === place) this.#counting.delete(owner);
      },
    };
  }
}

/** Of this isolate. */
export const countingPlaces = new CountingPlaces();
