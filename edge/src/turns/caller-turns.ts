/** Turns of what is dear to an isolate: those of one caller come one after the other, those of all leave time to other requests. */
import { ApiError } from '@blip2/shared/errors';
import { LRUCache } from 'lru-cache';
import { type Pace, pause, Turns } from './turns.ts';

/** Whoever had to wait longer is refused. */
const LONGEST_WAIT_MS = 5000;
const MAX_OWNERS = 1024;

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
    await this.takeAll();
  }

  /** The first half of it. @throws ApiError `too-many-requests` */
  async takeOwn(owner: string): Promise<void> {
    await this.#wait(this.#of(owner), 'too-many-requests');
  }

  /** The second: once it is known that there is something to do. @throws ApiError `overloaded` */
  async takeAll(): Promise<void> {
    await this.#wait(this.#all, 'overloaded');
  }

  /** @param ms how long it has taken */
  took(owner: string, ms: number): void {
    this.#of(owner).took(ms);
    this.#all.took(ms);
  }

  async #wait(turns: Turns, slug: 'too-many-requests' | 'overloaded'): Promise<void> {
    const wait = turns.wait(this.#now());
    if (wait > LONGEST_WAIT_MS) {
      throw new ApiError(slug, this.#pace.refusal, { retry_after: Math.ceil(wait / 1000) });
    }
    turns.take(this.#now());
    if (wait > 0) await this.#pause(wait);
  }

  #of(owner: string): Turns {
    const known = this.#each.get(owner);
    if (known !== undefined) return known;
    const turns = new Turns(this.#pace.ofOne);
    this.#each.set(owner, turns);
    return turns;
  }
}
