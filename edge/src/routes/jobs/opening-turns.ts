/**
 * When a caller may open a job. To open one wakes several objects, each with a database of its own: dearer than an answer, and
 * most of it happens when the reply is there. So the jobs of one caller begin one after the other, and those of all
 * callers of an isolate leave half of the time to other requests.
 */
import { ApiError } from '@blip2/shared/errors';
import { LRUCache } from 'lru-cache';
import { pause, Turns } from '../../jobs/turns.ts';

/** A job takes some times as long as its creation, of which a machine of its own that is busy with many jobs shows nothing. */
const OF_ONE = { times: 8, shortestMs: 250, longestMs: 1000 };
const OF_ALL = { times: 2, shortestMs: 100, longestMs: 250 };
/** Whoever had to wait longer is refused. */
const LONGEST_WAIT_MS = 5000;
const MAX_OWNERS = 1024;

export class OpeningTurns {
  readonly #now: () => number;
  readonly #pause: typeof pause;
  readonly #all = new Turns(OF_ALL);
  /** By owner. */
  readonly #each = new LRUCache<string, Turns>({ max: MAX_OWNERS });

  constructor(services: { now: () => number; pause: typeof pause }) {
    this.#now = services.now;
    this.#pause = services.pause;
  }

  /**
   * Resolves when the turn of an owner has come.
   * @throws ApiError `too-many-requests`, `overloaded`
   */
  async take(owner: string): Promise<void> {
    const own = this.#of(owner);
    // One after the other: who waits for a turn of its own takes none of all.
    await this.#wait(own, 'too-many-requests');
    await this.#wait(this.#all, 'overloaded');
  }

  /** @param ms how long the creation of a job has taken */
  took(owner: string, ms: number): void {
    this.#of(owner).took(ms);
    this.#all.took(ms);
  }

  async #wait(turns: Turns, slug: 'too-many-requests' | 'overloaded'): Promise<void> {
    const wait = turns.wait(this.#now());
    if (wait > LONGEST_WAIT_MS) {
      const detail =
        'Too many jobs are being created: create the next one later, and put many items into one job.';
      throw new ApiError(slug, detail, { retry_after: Math.ceil(wait / 1000) });
    }
    turns.take(this.#now());
    if (wait > 0) await this.#pause(wait);
  }

  #of(owner: string): Turns {
    const known = this.#each.get(owner);
    if (known !== undefined) return known;
    const turns = new Turns(OF_ONE);
    this.#each.set(owner, turns);
    return turns;
  }
}

/** Of this isolate. */
export const openingTurns = new OpeningTurns({ now: () => Date.now(), pause });
