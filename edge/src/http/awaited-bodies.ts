/**
 * How many bodies may come, and how many replies may be read, at a time. The first bytes of each count in no memory, and a request holds no place while its body comes:
 * thousands of connections with a few bytes each would have as many readers and timers, and fill an isolate.
 */
import { ApiError } from '@blip2/shared/errors';
import { clientThat, isUnnamed } from '../turns/unnamed.ts';
import {
  type ComingBody,
  gaveWay,
  givingWay,
  RETRY_AFTER_S,
  SLOW,
  UPLOADS,
} from './slow-bodies.ts';

const MOST = 1024;
/** Of replies: each has timers and readers, and as many free bytes. */
export const MOST_REPLIES = 256;
/** Of documents that are the same for all, to whoever opens a connection: they keep no other reply out. */
export const MOST_DOCUMENTS = 256;

/** What is said to who has too many, and where there are too many of all. */
export type Words = { has: string; all: string };
const OF_BODIES: Words = {
  has: 'requests under way whose bodies have not come whole, as many as one may have now.',
  all: 'More bodies come than this place of the service can wait for: try again.',
};
export const OF_REPLIES: Words = {
  has: 'large replies under way, as many as one may have now: read them, or end them.',
  all: 'More large replies are being read than this place of the service can send: try again.',
};

export class AwaitedBodies<Body extends ComingBody> {
  readonly #most: number;
  readonly #onGiveWay: (body: Body) => void;
  readonly #words: Words;
  readonly #bodies = new Set<Body>();

  /** @param onGiveWay called before the wait for one is ended */
  constructor(onGiveWay: (body: Body) => void = () => {}, most = MOST, words = OF_BODIES) {
    this.#onGiveWay = onGiveWay;
    this.#most = most;
    this.#words = words;
  }

  /**
   * One counts from now on, until it leaves or expires. As with places, one client alone has half, two a third each; but those whom
   * nobody tells apart have all of it together.
   * @param now milliseconds since the epoch
   * @throws ApiError `too-many-requests`, `overloaded` where none is slow enough to give way
   */
  add(body: Body, now: number): void {
    const others = this.#others(body, now);
    const own = others.filter(({ client }) => client === body.client);
    const free = this.#most * (body.kind === 'upload' ? UPLOADS : 1) - others.length;
    if (!isUnnamed(body.client) && own.length > 0 && own.length >= free) {
      if (!this.#makeRoom(own, now)) throw this.#tooMany(body.client, own.length);
    } else if (free <= 0 && !this.#makeRoom(others, now)) {
      throw new ApiError('overloaded', this.#words.all, { retry_after: RETRY_AFTER_S });
    }
    this.#bodies.add(body);
  }

  leave(body: Body): void {
    this.#bodies.delete(body);
  }

  #others({ kind }: Body, now: number): Body[] {
    const others: Body[] = [];
    for (const body of this.#bodies) {
      if (body.expiresAt < now) this.#bodies.delete(body);
      else if (body.kind === kind) others.push(body);
    }
    return others;
  }

  #makeRoom(bodies: readonly Body[], now: number): boolean {
    const [slowest] = givingWay(bodies, now, SLOW, () => 1);
    if (slowest === undefined) return false;
    this.leave(slowest);
    this.#onGiveWay(slowest);
    slowest.end?.(gaveWay('its place', slowest.kind));
    return true;
  }

  #tooMany(client: string, limit: number): ApiError {
    const detail = `${clientThat(client, 'has')} ${limit} ${this.#words.has}`;
    return new ApiError('too-many-requests', detail, { limit, retry_after: RETRY_AFTER_S });
  }
}
