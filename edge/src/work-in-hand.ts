/**
 * What one isolate works on at a time. Whoever comes beyond that is refused before anything is done for them: workerd reads no
 * socket until it has nothing else to do, so that a crowd, once let in, keeps every other connection waiting until all of it is
 * served, by when most have gone.
 */
import { ApiError } from '@blip2/shared/errors';

const MOST = 256;
/** Cloudflare may stop a request without running its `finally`: its place is free again after this. */
const LEASE_MS = 60_000;
const RETRY_AFTER_S = 1;

export class WorkInHand {
  readonly #most: number;
  readonly #now: () => number;
  /** Until when each place counts. */
  readonly #taken = new Map<WorkPlace, number>();

  /** @param now milliseconds since the epoch */
  constructor(most = MOST, now: () => number = Date.now) {
    this.#most = most;
    this.#now = now;
  }

  /**
   * A place of one request, taken at once.
   * @throws Crowded
   * @example using place = work.take();
   */
  take(): WorkPlace {
    const place = new WorkPlace(this);
    place.take();
    return place;
  }

  /** For `WorkPlace`. */
  add(place: WorkPlace): void {
    if (this.#taken.size >= this.#most) this.#dropStopped();
    if (this.#taken.size >= this.#most) throw new Crowded();
    this.#taken.set(place, this.#now() + LEASE_MS);
  }

  /** For `WorkPlace`. @returns whether it was taken */
  remove(place: WorkPlace): boolean {
    return this.#taken.delete(place);
  }

  #dropStopped(): void {
    const now = this.#now();
    for (const [place, until] of this.#taken) if (until <= now) this.#taken.delete(place);
  }
}

/** Taken while a request computes, or waits for what this service stores. */
export class WorkPlace {
  readonly #work: WorkInHand;
  #isOver = false;

  constructor(work: WorkInHand) {
    this.#work = work;
  }

  /** @throws Crowded where others have taken it meanwhile */
  take(): void {
    // What is still under way for a request that has its reply, such as one that is too late, is nobody's.
    if (!this.#isOver) this.#work.add(this);
  }

  /** @returns whether it was taken */
  leave(): boolean {
    return this.#work.remove(this);
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.leave();
  }
}

/**
 * Waits for a client that sends, or a host that answers: hundreds of slow ones keep nobody out.
 * @param place of the request, where it has one; one that it has left is left
 * @throws Crowded where others have its place when the wait is over
 */
export async function waitOutside<T>(place: WorkPlace | undefined, wait: Promise<T>): Promise<T> {
  const wasTaken = place?.leave();
  const result = await wait;
  if (wasTaken) place?.take();
  return result;
}

/** There are many of these at once, none of which says more than the first. */
export class Crowded extends ApiError {
  constructor(detail = 'More requests came than this place of the service can serve: try again.') {
    super('overloaded', detail, { retry_after: RETRY_AFTER_S });
  }
}
