/** Callers of all kinds at once, and the tally of what they saw. */
import { setTimeout as delay } from 'node:timers/promises';
import { CALLS, type Outcome } from './calls.ts';
import type { KnownScene } from './known.ts';
import type { Random } from './random.ts';

/** A caller that got an error waits this long before its next call. */
const PAUSE_MS = 150;
const KINDS = Object.values(CALLS);

export class Tally {
  /** How many calls ended so. */
  readonly saw = new Map<string, number>();
  lost = 0;
  wrong = 0;
  /** The longest call. */
  longestMs = 0;
  /** What was wrong, for people; a few of them. */
  readonly details: string[] = [];

  add({ label, isLost, isWrong, detail }: Outcome): void {
    const seen = isWrong ? 'WRONG' : label;
    this.saw.set(seen, (this.saw.get(seen) ?? 0) + 1);
    if (isLost) this.lost += 1;
    if (isWrong) this.wrong += 1;
    if (detail !== undefined && this.details.length < 3) this.details.push(detail);
  }
}

export type TrafficOptions = { url: string; scenes: readonly KnownScene[]; random: Random };

/** Callers that call again and again until they are stopped. */
export class Traffic {
  readonly tally = new Tally();
  readonly #options: TrafficOptions;
  readonly #calls = new Set<Promise<void>>();
  #isOver = false;

  constructor(options: TrafficOptions) {
    this.#options = options;
  }

  /** So many callers begin. */
  start(callers: number): void {
    for (let i = 0; i < callers; i++) this.#track(this.#callOn());
  }

  /** One call, of a kind by chance. */
  callOnce(): void {
    this.#track(this.#call().then(() => {}));
  }

  /** Waits until so many calls have ended in right answers. */
  async flows(answers: number): Promise<void> {
    while ((this.tally.saw.get('200') ?? 0) < answers) await delay(10);
  }

  /** Waits for every call that is under way. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#calls);
  }

  #track(call: Promise<void>): void {
    this.#calls.add(call);
    call.finally(() => this.#calls.delete(call));
  }

  async #callOn(): Promise<void> {
    while (!this.#isOver) {
      const { label } = await this.#call();
      if (label !== '200') await delay(PAUSE_MS);
    }
  }

  async #call(): Promise<Outcome> {
    const { url, scenes, random } = this.#options;
    const since = performance.now();
    const outcome = await random.pick(KINDS)(url, random.pick(scenes), random);
    this.tally.longestMs = Math.max(this.tally.longestMs, performance.now() - since);
    this.tally.add(outcome);
    return outcome;
  }
}
