/**
 * Which jobs of an isolate read their inputs: each has megabytes of lines in memory meanwhile, so that it is a few at a time, fewer of
 * one owner, and a part of each by turns. Owners come by turns, however many jobs each has. Objects may not wait for one another: who
 * finds no place comes again.
 */

const OF_ALL = 8;
const OF_ONE = 2;
/** A job that has not said by then that it reads on is gone. */
const LEASE_MS = 60_000;
/** When a job that found no place comes again, and for every eight that come before it: each time is two writes. */
const AGAIN_MS = 1000;
const LONGEST_AGAIN_MS = 10_000;
/** One that does not come so long after it was to is gone, or canceled. */
const PATIENCE_MS = 4000;
/** So late it may still come, and finds its place free. */
const LATE_MS = 500;
/** Owners of whom it is known when they were served last. */
const MAX_OWNERS = 4096;

type Waiting = { owner: string; comesAt: number };

export class ReadingPlaces {
  /** Until when each counts, and whose it is. */
  readonly #reading = new Map<string, { owner: string; until: number }>();
  /** In the order in which they came. */
  readonly #waiting = new Map<string, Waiting>();
  /** Owners, the one who was served longest ago first. */
  readonly #served = new Set<string>();

  /**
   * @param now milliseconds since the epoch
   * @returns whether the job may read a part, and then is to leave; else after how many milliseconds it is to come again
   */
  enter(job: string, owner: string, now: number): true | number {
    for (const [name, { until }] of this.#reading) if (until <= now) this.#reading.delete(name);
    for (const [name, { comesAt }] of this.#waiting) {
      if (comesAt + PATIENCE_MS <= now) this.forget(name);
    }
    // Where it stands already, it stays.
    this.#waiting.set(job, { owner, comesAt: now });
    // Who comes much later gets no place before then, nor who has not come: it would be empty meanwhile.
    const isSoon = ({ comesAt }: Waiting) => comesAt <= now + AGAIN_MS && comesAt + LATE_MS > now;
    const next = this.#inOrder(isSoon, OF_ALL - this.#reading.size);
    if (next.includes(job)) {
      this.#waiting.delete(job);
      this.#wasServed(owner);
      this.#reading.set(job, { owner, until: now + LEASE_MS });
      return true;
    }
    const rounds = Math.max(this.#before(job, owner) / OF_ALL, 1);
    const again = Math.min(AGAIN_MS * rounds, LONGEST_AGAIN_MS);
    this.#waiting.set(job, { owner, comesAt: now + again });
    return again;
  }

  /** Says that a job reads on: it has its place for another minute. */
  stay(job: string, owner: string, now: number): void {
    this.#reading.set(job, { owner, until: now + LEASE_MS });
  }

  leave(job: string): void {
    this.#reading.delete(job);
  }

  /** A job that waits is not to be read any more. Its owner had a turn: who has jobs in line and takes them back comes behind all others. */
  forget(job: string): void {
    const waiting = this.#waiting.get(job);
    if (waiting === undefined) return;
    this.#waiting.delete(job);
    this.#wasServed(waiting.owner);
  }

  #wasServed(owner: string): void {
    this.#served.delete(owner);
    this.#served.add(owner);
    const [first] = this.#served;
    if (this.#served.size > MAX_OWNERS && first !== undefined) this.#served.delete(first);
  }

  /** Jobs that may have a place now: first those of the owner with the fewest places, of several the one who was served longest ago. */
  #inOrder(isSoon: (waiting: Waiting) => boolean, places: number): string[] {
    const taken = new Map<string, number>();
    const take = (owner: string) => taken.set(owner, (taken.get(owner) ?? 0) + 1);
    for (const { owner } of this.#reading.values()) take(owner);
    const jobs = new Map<string, string[]>();
    for (const [job, waiting] of this.#waiting) {
      if (!isSoon(waiting)) continue;
      const of = jobs.get(waiting.owner) ?? [];
      jobs.set(waiting.owner, of);
      if (of.length < OF_ONE) of.push(job);
    }
    const served = new Map([...this.#served].map((owner, index) => [owner, index]));
    const owners = [...jobs.keys()].sort((a, b) => (served.get(a) ?? -1) - (served.get(b) ?? -1));
    const chosen: string[] = [];
    for (let had = 0; had < OF_ONE; had++) {
      for (const owner of owners) {
        if (chosen.length >= places) return chosen;
        if ((taken.get(owner) ?? 0) !== had) continue;
        const job = jobs.get(owner)?.shift();
        if (job === undefined) continue;
        chosen.push(job);
        take(owner);
      }
    }
    return chosen;
  }

  /** How many jobs come before this one, owners by turns. */
  #before(job: string, owner: string): number {
    const counts = new Map<string, number>();
    let own = 0;
    for (const [name, waiting] of this.#waiting) {
      if (name === job) own = counts.get(owner) ?? 0;
      counts.set(waiting.owner, (counts.get(waiting.owner) ?? 0) + 1);
    }
    counts.delete(owner);
    return [...counts.values()].reduce((sum, count) => sum + Math.min(count, own + 1), own);
  }
}

/** Of this isolate. */
export const readingPlaces = new ReadingPlaces();
