/** Which GPU worker is there now, by its fingerprint: what another one wrote is no reply of this one. */
import { within } from '../within.ts';

/** So long nobody asks again: a worker takes longer to be replaced. */
const FRESH_MS = 2000;
/** Longer than a worker that is there takes to say what it is. */
const ASKING_MS = 500;

export type WorkerIdentityOptions = {
  /** Milliseconds since the epoch. */
  now: () => number;
  /** Asks the worker. */
  ask: () => Promise<string | undefined>;
};

/**
 * Every reply of the worker says its fingerprint, so that it is asked only where none has come for a while.
 * @example
 * const identity = new WorkerIdentity({ now, ask: async () => (await gpu.model()).fingerprint });
 * identity.observe('5e3f…');
 * await identity.current(); // '5e3f…'
 */
export class WorkerIdentity {
  readonly #options: WorkerIdentityOptions;
  #known: string | undefined;
  #knownAt = Number.NEGATIVE_INFINITY;
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor(options: WorkerIdentityOptions) {
    this.#options = options;
  }

  /** What a worker has just said of itself. @param fingerprint absent where it says none */
  observe(fingerprint: string | undefined): void {
    this.#known = fingerprint;
    this.#knownAt = this.#options.now();
  }

  /**
   * Never rejects. A worker that cannot be reached is still the last one that was there: nothing has replaced it, as far
   * as anybody can know.
   * @returns undefined where none was ever reached, or it says none
   */
  async current(): Promise<string | undefined> {
    const { now, ask } = this.#options;
    if (this.#isWithin(FRESH_MS, this.#knownAt)) return this.#known;
    // One asks for all.
    if (this.#known !== undefined && this.#isWithin(ASKING_MS, this.#askedAt)) return this.#known;
    this.#askedAt = now();
    try {
      this.observe(await within(ASKING_MS, ask(), 'the GPU worker'));
    } catch {
      // Nor does the next request wait for it.
      this.#knownAt = now();
    }
    return this.#known;
  }

  #isWithin(ms: number, since: number): boolean {
    const age = this.#options.now() - since;
    // Less than nothing: the clock has been set back.
    return age >= 0 && age < ms;
  }
}
