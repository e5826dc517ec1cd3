/**
 * What one isolate works on at a time. Whoever comes beyond that is refused before anything is done for them: workerd reads no
 * socket until it has nothing else to do, so that a crowd, once let in, keeps every other connection waiting until all of it is
 * served, by when most have gone.
 */
import { ApiError } from '@blip2/shared/errors';

const MOST = 512;
/** Cloudflare may stop a request without running its `finally`: its place is free again after this. */
const LEASE_MS = 60_000;
const RETRY_AFTER_S = 1;

export class WorkInHand {
  readonly #most: number;
  readonly #now: () => number;
  /** Until when each place counts, in the order in which they were taken. */
  readonly #taken = new Map<WorkPlace, number>();

  /** @param now milliseconds since the epoch */
  constructor(most = MOST, now: () => number = Date.now) {
    this.#most = most;
    this.#now = now;
  }

  /**
   * A place of one request, taken at once.
   * @throws ApiError `overloaded`
   * @example using place = work.take();
   */
  take(): WorkPlace {
    const place = new WorkPlace(this);
    place.take();
    return place;
  }

  /** For `WorkPlace`. */
  add(place: WorkPlace): void {
    if (this.#taken.size >= this.#most) this.#forgetStopped();
    if (this.#taken.size >= this.#most) throw tooMany();
    this.#taken.set(place, this.#now() + LEASE_MS);
  }

  /** For `WorkPlace`. */
  remove(place: WorkPlace): void {
    this.#taken.delete(place);
  }

  #forgetStopped(): void {
    const now = this.#now();
    for (const [place, until] of this.#taken) {
      if (until > now) return;
      this.#taken.delete(place);
    }
  }
}

/** Taken while a request computes, or waits for what this service stores; not while it waits for anybody else. */
export class WorkPlace {
  readonly #work: WorkInHand;

  constructor(work: WorkInHand) {
    this.#work = work;
  }

  /** @throws ApiError `overloaded` where others have taken it meanwhile */
  take(): void {
    this.#work.add(this);
  }

  leave(): void {
    this.#work.remove(this);
  }

  [Symbol.dispose](): void {
    this.leave();
  }
}

/**
 * Waits for something that costs this isolate nothing: a client that sends, a host that answers.
 * @param place of the request, where it has one
 * @throws ApiError `overloaded` where its place is taken when the wait is over
 */
export async function waitOutside<T>(place: WorkPlace | undefined, wait: Promise<T>): Promise<T> {
  if (place === undefined) return await wait;
  place.leave();
  const result = await wait;
  place.take();
  return result;
}

function tooMany(): ApiError {
  const detail = 'More requests came than this place of the service can serve: try again.';
  return new ApiError('overloaded', detail, { retry_after: RETRY_AFTER_S });
}
