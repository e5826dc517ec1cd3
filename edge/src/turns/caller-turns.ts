/**
 * Turns of what is dear to an isolate: those of one caller come one after the other, those of all leave time to other requests. Callers come
 * by turns, however much each asks for, so that nobody is refused for what others do.
 */
import { ApiError } from '@blip2/shared/errors';
import { LRUCache } from 'lru-cache';
import { type Ticket, TurnQueue } from './turn-queue.ts';
import { type Pace, pause, Turns } from './turns.ts';

/** Whoever had to wait longer behind requests of its own is refused. */
const LONGEST_WAIT_MS = 5000;
/** Nobody waits longer, however many others there are. */
const LONGEST_OF_ALL_MS = 20_000;
const MAX_OWNERS = 1024;
/** Requests that wait for a turn of all: one more takes the place of the last of whoever has most. */
const MAX_WAITING = 256;
/** How often at least and at most one that waits looks whether its turn has come. */
const [SHORTEST_LOOK_MS, LONGEST_LOOK_MS] = [2, 250];
/** So many look at each turn: somebody behind them would have it if none did. */
const LOOK_EACH_TURN = 2;

export type CallerPace = {
  ofOne: Pace;
  ofAll: Pace;
  /** Said to whoever is refused. */
  refusal: string;
};

export class CallerTurns {
  readonly #pace: CallerPace;
  readonly #now: () => number;
  readonly #pause: typeof pause;
  readonly #all: Turns;
  readonly #queue = new TurnQueue();
  /** Those that have made room for others. */
  readonly #dropped = new WeakSet<Ticket>();
  /** By owner. */
  readonly #each = new LRUCache<string, Turns>({ max: MAX_OWNERS });

  constructor(pace: CallerPace, services = { now: () => Date.now(), pause }) {
    this.#pace = pace;
    this.#now = services.now;
    this.#pause = services.pause;
    this.#all = new Turns(pace.ofAll);
  }

  /**
   * Resolves when the turn of an owner has come.
   * @throws ApiError `too-many-requests`, `overloaded`
   * @example await turns.take(owner.id);
   */
  async take(owner: string): Promise<void> {
    // One after the other: who waits for a turn of its own takes none of all.
    await this.takeOwn(owner);
    await this.takeAll(owner);
  }

  /** The first half of it. @throws ApiError `too-many-requests` */
  async takeOwn(owner: string): Promise<void> {
    const turns = this.#of(owner);
    const wait = turns.wait(this.#now());
    if (wait > LONGEST_WAIT_MS) throw this.#refusal('too-many-requests', wait);
    turns.take(this.#now());
    if (wait > 0) await this.#pause(wait);
  }

  /** The second: once it is known that there is something to do. @throws ApiError `too-many-requests`, `overloaded` */
  async takeAll(owner: string): Promise<void> {
    this.#makeRoom(owner);
    const hasOthers = this.#queue.countOf(owner) > 0;
    const ticket = this.#queue.join(owner, this.#now());
    try {
      for (let isFirst = true; ; isFirst = false) {
        const now = this.#now();
        if (this.#dropped.has(ticket)) throw this.#refusal('too-many-requests', LONGEST_WAIT_MS);
        const { isNext, before } = this.#queue.look(ticket, now);
        const free = this.#all.wait(now);
        if (isNext && free === 0) break;
        const expected = free + before * this.#all.apart;
        if (isFirst && hasOthers && expected > LONGEST_WAIT_MS) {
          throw this.#refusal('too-many-requests', expected);
        }
        if (isFirst && expected > LONGEST_OF_ALL_MS) throw this.#refusal('overloaded', expected);
        // The next turns find those there whose they are; who comes after many looks again on the way.
        const wait = before < LOOK_EACH_TURN ? free : expected / 2;
        const look = Math.min(Math.max(wait, SHORTEST_LOOK_MS), LONGEST_LOOK_MS);
        ticket.looksAt = now + look;
        await this.#pause(look);
      }
      this.#queue.serve(ticket);
      this.#all.take(this.#now());
    } finally {
      this.#queue.leave(ticket);
    }
  }

  /** @throws ApiError `overloaded` where as many wait, each of an owner of its own */
  #makeRoom(owner: string): void {
    if (this.#queue.size < MAX_WAITING) return;
    const last = this.#queue.lastOfMost();
    if (last === undefined) return;
    const most = this.#queue.countOf(last.owner);
    if (most <= this.#queue.countOf(owner) || most === 1) {
      throw this.#refusal('overloaded', LONGEST_OF_ALL_MS);
    }
    this.#dropped.add(last);
    this.#queue.leave(last);
  }

  /** @param ms how long it has taken */
  took(owner: string, ms: number): void {
    this.#of(owner).took(ms);
    this.#all.took(ms);
  }

  #refusal(slug: 'too-many-requests' | 'overloaded', waitMs: number): ApiError {
    return new ApiError(slug, this.#pace.refusal, { retry_after: Math.ceil(waitMs / 1000) });
  }

  #of(owner: string): Turns {
    const known = this.#each.get(owner);
    if (known !== undefined) return known;
    const turns = new Turns(this.#pace.ofOne);
    this.#each.set(owner, turns);
    return turns;
  }
}
