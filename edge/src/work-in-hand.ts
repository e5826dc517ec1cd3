/**
 * What one isolate works on at a time. Whoever comes beyond that is refused before anything is done for them: workerd reads no
 * socket until it has nothing else to do, so that a crowd, once let in, keeps every other connection waiting until all of it is
 * served, by when most have gone.
 */
import { ApiError } from '@blip2/shared/errors';
import { type Place, Places, type Stay } from './turns/places.ts';
import { clientThat } from './turns/unnamed.ts';

const MOST = 256;
const RETRY_AFTER_S = 1;

export class WorkInHand {
  readonly #most: number;
  readonly #places: Places;

  /** @param now milliseconds since the epoch */
  constructor(most = MOST, now: () => number = Date.now) {
    this.#most = most;
    this.#places = new Places(now);
  }

  /**
   * A place of one request, taken at once.
   * @param signal aborted when its client goes away
   * @param client whose it is, where that is known
   * @throws Crowded, and ApiError `too-many-requests` where the client has all that one may have now
   * @example using place = work.take(request.signal);
   */
  take(signal?: AbortSignal, client?: string): WorkPlace {
    // Where nobody has a place, that is the reason.
    if (this.#places.count() >= this.#most) throw new Crowded();
    const place = new WorkPlace(this, signal, client);
    place.take();
    return place;
  }

  /** For `WorkPlace`. @throws Crowded, and ApiError `too-many-requests` where the client has all that one may have now */
  add(stay: Stay): Place {
    const free = this.#most - this.#places.count();
    if (stay.client !== undefined) this.#expectShare(stay.client, free);
    if (free <= 0) throw new Crowded();
    return this.#places.take(stay);
  }

  /** For `WorkPlace`: a place that is taken becomes one of a client. @throws as `add` */
  name(place: Place, client: string): void {
    this.#expectShare(client, this.#most - this.#places.count() + 1);
    place.client = client;
  }

  /** As the GPU worker counts: one client alone has half of the places, two have a third each. @param free places, the one in question among them */
  #expectShare(client: string, free: number): void {
    const own = this.#places.count(client);
    if (own > 0 && own >= free) throw tooManyOfClient(client, own);
  }
}

/** Taken while a request computes, or waits for what this service stores. */
export class WorkPlace {
  readonly #work: WorkInHand;
  #signal: AbortSignal | undefined;
  #client: string | undefined;
  #place: Place | undefined;
  #isOver = false;

  /** @param signal aborted when its client goes away @param client whose it is, where that is known */
  constructor(work: WorkInHand, signal?: AbortSignal, client?: string) {
    this.#work = work;
    this.#signal = signal;
    this.#client = client;
  }

  /** @throws as `WorkInHand` where others have taken it meanwhile */
  take(): void {
    // What is still under way for a request that has its reply, such as one that is too late, is nobody's.
    if (this.#isOver || this.#place !== undefined) return;
    // What is still done for a client that has left counts all the same.
    const signal = this.#signal?.aborted ? undefined : this.#signal;
    this.#place = this.#work.add({ client: this.#client, signal });
  }

  /** Takes it for one that goes on without its client, as the first with an Idempotency-Key does. @throws as `take` */
  takeAnyway(): void {
    this.#signal = undefined;
    this.take();
  }

  /**
   * Counts among the places of a client from now on: who it is shows once the place is taken.
   * @throws as `WorkInHand`, with the place left
   */
  countAs(client: string): void {
    if (client === this.#client) return;
    this.#client = client;
    if (this.#place === undefined) return;
    try {
      this.#work.name(this.#place, client);
    } catch (refusal) {
      this.leave();
      throw refusal;
    }
  }

  /** @returns whether it was taken */
  leave(): boolean {
    const wasTaken = this.#place !== undefined;
    this.#place?.leave();
    this.#place = undefined;
    return wasTaken;
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

/** @param limit requests that it has now */
export function tooManyOfClient(client: string, limit: number): ApiError {
  const detail = `${clientThat(client, 'has')} ${limit} requests under way, as many as one may have now.`;
  return new ApiError('too-many-requests', detail, { limit, retry_after: RETRY_AFTER_S });
}
