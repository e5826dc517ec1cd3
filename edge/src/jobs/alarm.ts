/**
 * The alarm of an object that works on by itself. The platform runs an alarm at least once and gives up after six that throw:
 * so the next one is set before anything is done, and what fails has its turn again.
 */
import { logError } from '../log.ts';

/** When an alarm whose object is gone in the middle of its work comes again. */
const LOST_MS = 10_000;
const OVERDUE_MS = 60_000;
/** After work that failed. */
const FAILED_MS = 5_000;

export class Alarm {
  readonly #storage: DurableObjectStorage;
  readonly #now: () => number;
  /** The earliest that was asked for while work is under way. */
  #asked: number | null = null;
  #isWorking = false;

  constructor(storage: DurableObjectStorage, now: () => number) {
    this.#storage = storage;
    this.#now = now;
  }

  /** Whether its work is under way. */
  get isWorking(): boolean {
    return this.#isWorking;
  }

  /** At a time at the latest, milliseconds since the epoch. */
  async wake(at: number): Promise<void> {
    if (this.#isWorking) {
      this.#asked = Math.min(this.#asked ?? at, at);
      return;
    }
    const current = await this.#storage.getAlarm();
    // One that is long overdue was lost.
    const isLost = current !== null && current < this.#now() - OVERDUE_MS;
    if (current === null || current > at || isLost) await this.#storage.setAlarm(at);
  }

  /**
   * Never throws.
   * @param work says when it is to be called again; null for never
   */
  async run(name: string, work: () => Promise<number | null>): Promise<void> {
    await this.#storage.setAlarm(this.#now() + LOST_MS);
    this.#isWorking = true;
    this.#asked = null;
    let next: number | null;
    try {
      next = await work();
    } catch (error) {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      logError('job-work-failed', { request_id: name, error: text });
      next = this.#now() + FAILED_MS;
    }
    this.#isWorking = false;
    const times = [next, this.#asked].filter((time) => time !== null);
    this.#asked = null;
    if (times.length > 0) await this.#storage.setAlarm(Math.min(...times));
    else await this.#storage.deleteAlarm();
  }
}
