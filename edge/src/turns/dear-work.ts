/**
 * What keeps an isolate from everything else for long: it has one thread, and workerd looks at its sockets only when nothing else is
 * left to do. So dear pieces of work are done one at a time, those of clients by turns, with a pause after each that is as long as the
 * piece took: half of the time is left to everybody else, however many such requests come. Cheap pieces wait only where their client
 * has done many of them in the last second.
 */
import { ApiError } from '@blip2/shared/errors';
import type { RequestContext } from '../request-context.ts';
import { Allowances } from './allowances.ts';
import { pause } from './turns.ts';
import { isUnnamed } from './unnamed.ts';

/** What takes less is cheap, milliseconds. */
export const DEAR_MS = 25;
/** What takes less costs no more than any request does, and is not counted. */
const TINY_MS = 0.2;
/** Whoever would have to wait longer is refused, as is whoever has waited so long. */
const LONGEST_WAIT_MS = 20_000;
/** A clock that leaps, or others' work, may make a piece seem longer than it was: nobody waits for longer than this after one. */
const LONGEST_PAUSE_MS = 1000;
/** What cheap pieces of one turn take at most, as far as anybody believes the clock: so many times their claim, and so many milliseconds more. */
const [MOST_TIMES, MOST_MORE_MS] = [4, 50];
/** How often who waits looks by itself, and how late a piece may begin when its turn has come. */
const LOOK_MS = 250;
/** Pieces that wait; each may hold a body of some size. One client alone has half of them, two a third each; a client's first is let in beyond. */
const MOST_WAITING = 256;
/** Pieces that say how long those to come will take: claims say nothing of it, since whoever makes them need not keep them. */
const AVERAGED = 8;

/** Whether a piece of work has to wait for its turn. */
export const isDear = (ms: number): boolean => ms >= DEAR_MS;

/** Who waits says again and again that it does: one that was stopped gets no turn. */
type Waiter = { ms: number; resolve: (piece: Piece) => void; saidAt: number };

/**
 * The piece whose turn it is, or cheap ones of one client that follow each other. A request may be stopped in its midst: after `until`
 * it no longer counts. `ms`: what they claim together.
 */
type Piece = { until: number; ms: number; count: number; rests: boolean };

type Services = { now: () => number; pause: (ms?: number) => Promise<void> };

export type Turn = {
  /** Lets the pause after it go on when its request has ended. */
  waitUntil: RequestContext['waitUntil'];
  /** Aborted when the client goes away: then it waits no longer. */
  signal?: AbortSignal | undefined;
  /** Whether it has no use without its client: then it is over when that goes away. */
  endsWithClient?: boolean;
  /** How long it may wait, milliseconds. */
  longestMs?: number;
  /** What a client that is refused should send instead. */
  remedy: string;
};

export class DearWork {
  readonly #now: () => number;
  readonly #pause: Services['pause'];
  #piece: Piece | null = null;
  /** Who waits, by client; the client whose turn it is comes first. */
  readonly #waiting = new Map<string, Waiter[]>();
  /** What pieces have really taken lately, milliseconds: nothing, until one was done. */
  #averageMs = 0;
  readonly #allowances: Allowances;

  constructor(services: Services = { now: Date.now, pause }) {
    this.#now = services.now;
    this.#pause = services.pause;
    this.#allowances = new Allowances(this.#now);
  }

  /**
   * Whether a client may do a piece of work without a turn: it is cheap, and there were few of them. Then it counts.
   * @param ms what all that its request does without a turn takes
   * @param counts what is new of that
   */
  passes(client: string, ms: number, counts = ms): boolean {
    return ms < TINY_MS || (!isDear(ms) && this.#allowances.take(client, counts));
  }

  /**
   * Resolves when a client may do a piece of work, which it has to begin at once, and to end before it waits for anything.
   * @param ms what it takes as far as is known before: whether it has to wait
   * @throws ApiError `too-many-requests` where the client has too much of its own waiting, `overloaded` where all have together
   * @example
   * await dearWork.turn(client, ms, { waitUntil, remedy: 'fewer or shorter texts' });
   * const ids = texts.map(encode);
   */
  async turn(client: string, ms: number, turn: Turn): Promise<void> {
    if (this.passes(client, ms)) return;
    const longestMs = Math.min(turn.longestMs ?? LONGEST_WAIT_MS, LONGEST_WAIT_MS);
    this.#expectTurn(client, longestMs, turn.remedy);
    const piece = await this.#waitFor(client, ms, { ...turn, longestMs });
    if (piece.rests) return;
    piece.rests = true;
    turn.waitUntil(this.#rest(piece, client));
  }

  /** Pieces that wait for their turn. */
  get waiting(): number {
    let count = 0;
    for (const waiters of this.#waiting.values()) count += waiters.length;
    return count;
  }

  /** @throws ApiError where the wait would be too long */
  #expectTurn(client: string, longestMs: number, remedy: string): void {
    const now = this.#now();
    const own = this.#alive(client, now).length;
    let beforeMs = this.#piece === null ? 0 : this.#averageMs;
    for (const other of [...this.#waiting.keys()]) {
      // By turns: of each other client come as many before it as it has itself.
      const before = this.#alive(other, now).slice(0, other === client ? own : own + 1);
      for (const { ms } of before) beforeMs += this.#expectedMs(ms);
    }
    // After each is a pause as long.
    const wait = 2 * beforeMs;
    const free = MOST_WAITING - this.waiting;
    // Together those without a name have the turns of one client, but none has a share that it could use up.
    const isNamed = !isUnnamed(client);
    const isOver = isNamed ? own >= free : free <= 0;
    const isFull = own > 0 ? isOver : this.#waiting.size >= MOST_WAITING;
    if (wait > longestMs || isFull) throw refusal(isNamed && own > 0, wait, remedy);
  }

  /** What one that waits will take: as long as others lately, but no longer than anybody believes of its claim. Cheap ones share a turn. */
  #expectedMs(ms: number): number {
    const more = MOST_MORE_MS * Math.min(ms / DEAR_MS, 1);
    return Math.min(this.#averageMs, MOST_TIMES * ms + more);
  }

  #alive(client: string, now: number): Waiter[] {
    const waiters = this.#waiting.get(client)?.filter((waiter) => isAlive(waiter, now)) ?? [];
    if (waiters.length > 0) this.#waiting.set(client, waiters);
    else this.#waiting.delete(client);
    return waiters;
  }

  async #waitFor(
    client: string,
    ms: number,
    {
      signal,
      endsWithClient = false,
      remedy,
      longestMs,
    }: Omit<Turn, 'waitUntil' | 'longestMs'> & { longestMs: number },
  ): Promise<Piece> {
    if (endsWithClient) signal?.throwIfAborted();
    const turn = Promise.withResolvers<Piece>();
    const waiter: Waiter = { ms, resolve: turn.resolve, saidAt: 0 };
    const since = this.#now();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = () => {
      waiter.saidAt = this.#now();
      // What takes longer than the others did lately makes all of them wait.
      const waited = waiter.saidAt - since;
      if (waited > longestMs) {
        const own = this.#waiting.get(client) ?? [];
        turn.reject(refusal(!isUnnamed(client) && own.length > 1, waited, remedy));
        return;
      }
      timer = setTimeout(look, LOOK_MS);
      if (!this.#waiting.get(client)?.includes(waiter)) this.#enqueue(client, waiter);
      this.#serve();
    };
    // A request that goes on without its client, as one with an Idempotency-Key does, queues again when it looks next.
    const leave = () => {
      this.#remove(client, waiter);
      if (endsWithClient && signal?.aborted) turn.reject(signal.reason);
    };
    signal?.addEventListener('abort', leave);
    look();
    try {
      return await turn.promise;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', leave);
      leave();
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
      // One that was only late queues again when it looks next.
      const alive = waiters.filter((waiter) => isAlive(waiter, now));
      const count = batchOf(alive);
      // The others come first next time.
      this.#waiting.delete(client);
      if (alive.length > count) this.#waiting.set(client, alive.slice(count));
      if (count === 0) continue;
      const batch = alive.slice(0, count);
      const ms = batch.reduce((sum, waiter) => sum + waiter.ms, 0);
      // They begin at once, or have gone.
      const piece = { until: now + LOOK_MS, ms, count, rests: false };
      this.#piece = piece;
      for (const { resolve } of batch) resolve(piece);
    }
  }

  /** Leaves time to everybody else once a piece is done, and then to the next. */
  async #rest(piece: Piece, client: string): Promise<void> {
    const begun = this.#now();
    piece.until = begun + 2 * Math.min(piece.ms, LONGEST_PAUSE_MS) + LOOK_MS;
    // Nothing comes between its beginning and its end: when this has passed, it is done, and the clock has moved.
    await this.#pause(1);
    const passed = this.#now() - begun;
    const claimed = MOST_TIMES * piece.ms + MOST_MORE_MS;
    // A piece that was alone may be longer than it claims. What others did before several came to be looked at is not theirs.
    const most = piece.count === 1 ? LONGEST_PAUSE_MS : Math.min(claimed, LONGEST_PAUSE_MS);
    const took = passed > 1 ? Math.min(passed, most) : 0;
    // Nobody waits for the rest of it but its client.
    if (piece.count === 1 && passed > took + 1 && !isUnnamed(client)) {
      this.#allowances.charge(client, Math.min(passed - took, LONGEST_PAUSE_MS));
    }
    this.#averageMs += (took / piece.count - this.#averageMs) / AVERAGED;
    if (took > 0) {
      // Whoever looks takes it for over only when it is.
      piece.until = this.#now() + took + LOOK_MS;
      await this.#pause(took);
    }
    if (this.#piece === piece) this.#piece = null;
    this.#serve();
  }
}

/** How many of those who wait have one turn together: the first, and cheap ones after it while all are no more than what is cheap. */
function batchOf(waiters: readonly Waiter[]): number {
  let sum = 0;
  const end = waiters.findIndex(({ ms }, index) => {
    sum += ms;
    return index > 0 && isDear(sum);
  });
  return end === -1 ? waiters.length : end;
}

const isAlive = ({ saidAt }: Waiter, now: number) => now - saidAt <= 4 * LOOK_MS;

function refusal(isOwn: boolean, wait: number, remedy: string): ApiError {
  const retry_after = Math.max(1, Math.ceil(wait / 1000));
  return isOwn
    ? new ApiError(
        'too-many-requests',
        `This client has other large requests under way: wait for their replies, or send ${remedy} in each.`,
        { retry_after },
      )
    : new ApiError(
        'overloaded',
        `Other large requests are being read: try again, or send ${remedy}.`,
        { retry_after },
      );
}

/** Of this isolate, for requests: Durable Objects may not wait for one another so. */
export const dearWork = new DearWork();
