/**
 * A stopwatch that counts only time in which this process could run: not that in which it or the machine was suspended, nor that
 * in which one of its threads waited for its turn. What needs long on a machine with too much to do is not hung by that.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** Milliseconds for which each thread of this process has waited for its turn; empty where the system does not tell. */
export type TurnWaits = ReadonlyMap<string, number>;

export type RunningTimeOptions = {
  /** Milliseconds of a clock that never goes back. */
  now: () => number;
  turnWaits: () => TurnWaits;
  /** Milliseconds between two looks. */
  lookMs: number;
};

/** Of the time since a look, at most so many times the usual counts: for the rest this process did not run at all. */
const LATE = 2;

export class RunningTime implements Disposable {
  readonly #options: RunningTimeOptions;
  #countedMs = 0;
  #lookedAt: number;
  /** Not read before the first look: hardly any stopwatch runs that long. */
  #waits: TurnWaits = new Map();
  #timer: NodeJS.Timeout | undefined;

  /** Counts from now on until it is disposed. */
  constructor(options: Partial<RunningTimeOptions> = {}) {
    this.#options = { now: () => performance.now(), turnWaits, lookMs: 1000, ...options };
    this.#lookedAt = this.#options.now();
    this.#lookLater();
  }

  get milliseconds(): number {
    const { now, lookMs } = this.#options;
    return this.#countedMs + Math.min(now() - this.#lookedAt, LATE * lookMs);
  }

  /** What has passed since the look before counts from now on as it should. */
  look(): void {
    const { now, turnWaits, lookMs } = this.#options;
    const [before, beforeWaits] = [this.#lookedAt, this.#waits];
    this.#lookedAt = now();
    this.#waits = turnWaits();
    const waits = Array.from(this.#waits, ([id, ms]) => ms - (beforeWaits.get(id) ?? ms));
    const passed = Math.min(this.#lookedAt - before, LATE * lookMs);
    this.#countedMs += Math.max(0, passed - Math.max(0, ...waits));
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #lookLater(): void {
    this.#timer = setTimeout(() => {
      this.look();
      this.#lookLater();
    }, this.#options.lookMs).unref();
  }
}

/** As Linux counts it for each thread. */
export function turnWaits(): TurnWaits {
  try {
    const threads = readdirSync('/proc/self/task');
    return new Map(threads.map((thread) => [thread, turnWaitOf(thread)]));
  } catch {
    return new Map();
  }
}

function turnWaitOf(thread: string): number {
  try {
    const [, waited] = readFileSync(`/proc/self/task/${thread}/schedstat`, 'utf8').split(' ');
    return Number(waited) / 1e6;
  } catch {
    // It has just ended.
    return 0;
  }
}
