/**
 * What keeps an isolate from everything else for long: it has one thread, and workerd looks at its sockets only when nothing else is
 * left to do. So dear pieces of work are done one at a time, those of clients by turns, with a pause after each that is about as
 * long as the piece: half of the time is left to everybody else, however many such requests come. Cheap pieces never wait.
 */
import { ApiError } from '@blip2/shared/errors';
import type { RequestContext } from '../request-context.ts';
import { pause } from './turns.ts';

/** What takes less is cheap, milliseconds. */
const DEAR_MS = 25;
/** Whoever would have to wait longer is refused. */
const LONGEST_WAIT_MS = 5000;
/** An estimate may be wrong, but nobody waits for long after what was dearer than all. */
const LONGEST_PAUSE_MS = 1000;
/** How often who waits looks by itself, and what a piece may take beyond twice its estimate. */
const LOOK_MS = 250;

/** Whether a piece of work has to wait for its turn. */
export const isDear = (ms: number): boolean => ms >= DEAR_MS;

/** Who waits says again and again that it does: one that was stopped gets no turn. */
type Waiter = { ms: number; resolve: (piece: Piece) => void; saidAt: number };

/** The piece whose turn it is. A request may be stopped in its midst: after `until` it no longer counts. */
type Piece = { until: number };

type WaitUntil = RequestContext['waitUntil'];
type Services = { now: () => number; pause: (ms?: number) => Promise<void> };

export class DearWork {
  readonly #now: () => number;
  readonly #pause: Services['pause'];
  #piece: Piece | null = null;
  /** Who waits, by client; the client whose turn it is comes first. */
  readonly #waiting = new Map<string, Waiter[]>();

  constructor(services: Services = { now: Date.now, pause }) {
    this.#now = services.now;
    this.#pause = services.pause;
  }

  /**
   * Resolves when a client may do a piece of work, which it has to begin at once, and to end before it waits for anything.
   * @param ms what it takes as far as is known before: the clock stands still while a Worker computes
   * @param waitUntil lets the pause after it go on when its request has ended
   * @throws ApiError `too-many-requests` where the client has too much of its own waiting, `overloaded` where all have together
   * @example
   * await dearWork.turn(client, tokenizingMs(texts), waitUntil);
   * const ids = texts.map(encode);
   */
  async turn(client: string, ms: number, waitUntil: WaitUntil): Promise<void> {
    if (!isDear(ms)) return;
    this.#expectTurn(client);
    const piece = await this.#waitFor(client, ms);
    waitUntil(this.#rest(piece, ms));
  }

  /** Pieces that wait for their turn. */
  get waiting(): number {
    let count = 0;
    for (const waiters of this.#waiting.values()) count += waiters.length;
    return count;
  }

  /** @throws ApiError where the wait would be too long */
  #expectTurn(client: string): void {
    const now = this.#now();
    const own = this.#alive(client, now);
    let before = 0;
    for (const other of [...this.#waiting.keys()]) {
      // By turns: of each other client come as many before it as it has itself.
      const waiters = this.#alive(other, now);
      const ahead = other === client ? own : waiters.slice(0, own.length + 1);
      before += ahead.reduce((sum, waiter) => sum + waiter.ms, 0);
    }
    const left = this.#piece === null ? 0 : Math.max(this.#piece.until - now, 0);
    const wait = left + 2 * before;
    if (wait > LONGEST_WAIT_MS) throw refusal(own.length > 0, wait);
  }

  #alive(client: string, now: number): Waiter[] {
    const waiters = this.#waiting.get(client)?.filter((waiter) => isAlive(waiter, now)) ?? [];
    if (waiters.length > 0) this.#waiting.set(client, waiters);
    else this.#waiting.delete(client);
    return waiters;
  }

  async #waitFor(client: string, ms: number): Promise<Piece> {
    const turn = Promise.withResolvers<Piece>();
    const waiter: Waiter = { ms, resolve: turn.resolve, saidAt: 0 };
    const since = this.#now();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = () => {
      waiter.saidAt = this.#now();
      // What took longer than was estimated has made all of them wait.
      if (waiter.saidAt - since > 2 * LONGEST_WAIT_MS) {
        const own = this.#waiting.get(client) ?? [];
        turn.reject(refusal(own.length > 1, LONGEST_WAIT_MS));
        return;
      }
      timer = setTimeout(look, LOOK_MS);
      if (!this.#waiting.get(client)?.includes(waiter)) this.#enqueue(client, waiter);
      this.#serve();
    };
    look();
    try {
      return await turn.promise;
    } finally {
      clearTimeout(timer);
      this.#remove(client, waiter);
    }
  }

  #enqueue(client: string, waiter: Waiter): void {
    const mine = this.#waiting.get(client) ?? [];
    mine.push(waiter);
    this.#waiting.set(client, mine);
  }

  #remove(client: string, waiter: Waiter): void {
    const left = this.#waiting.get(client)?.filter((other) => other !== waiter) ?? [];
    if (left.length > 0) this.#waiting.set(client, left);
    else this.#waiting.delete(client);
  }

  #serve(): void {
    const now = this.#now();
    while (this.#piece === null || this.#piece.until <= now) {
      const [next] = this.#waiting;
      if (next === undefined) return;
      const [client, waiters] = next;
      const waiter = waiters.shift();
      // The others come first next time.
      this.#waiting.delete(client);
      if (waiters.length > 0) this.#waiting.set(client, waiters);
      // One that was only late queues again when it looks next.
      if (waiter === undefined || !isAlive(waiter, now)) continue;
      this.#piece = { until: now + 2 * waiter.ms + LOOK_MS };
      waiter.resolve(this.#piece);
    }
  }

  /** Leaves time to everybody else once a piece is done, and then to the next. */
  async #rest(piece: Piece, ms: number): Promise<void> {
    const begun = this.#now();
    // Nothing comes between its beginning and its end: when this has passed, it is done.
    await this.#pause(1);
    const rest = Math.min(Math.max(ms, this.#now() - begun), LONGEST_PAUSE_MS);
    // Whoever looks takes it for over only when it is.
    piece.until = this.#now() + rest + LOOK_MS;
    await this.#pause(rest);
    if (this.#piece === piece) this.#piece = null;
    this.#serve();
  }
}

const isAlive = ({ saidAt }: Waiter, now: number) => now - saidAt <= 4 * LOOK_MS;

function refusal(isOwn: boolean, wait: number): ApiError {
  const retry_after = Math.max(1, Math.ceil(wait / 1000));
  return isOwn
    ? new ApiError(
        'too-many-requests',
        'This client has other large requests under way: wait for their replies, or send fewer or shorter texts in each.',
        { retry_after },
      )
    : new ApiError(
        'overloaded',
        'Other large requests are being read: try again, or send fewer or shorter texts.',
        { retry_after },
      );
}

/** Of this isolate, for requests: Durable Objects may not wait for one another so. */
export const dearWork = new DearWork();
