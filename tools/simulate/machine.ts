/** A machine: threads, each of which does one thing after another, and cores that those with something to do share. */
import type { EventQueue } from './event-queue.ts';

/**
 * How much a machine computes at a time, of what one thread alone on it does: `[1, 1.8]` are two cores that slow each other
 * down a little. More threads than entries share what the last one says, equally. Null: a core for every thread.
 */
export type Cores = readonly number[] | null;

type Work = { ms: number; then: () => void };

export class Machine {
  readonly #events: EventQueue;
  readonly #cores: Cores;
  readonly #busy = new Set<Thread>();
  #lastAt = 0;
  #version = 0;

  constructor(events: EventQueue, cores: Cores) {
    this.#events = events;
    this.#cores = cores;
  }

  thread(): Thread {
    return new Thread(this);
  }

  /** For `Thread`: it has something to do now. */
  begin(thread: Thread, ms: number): void {
    if (this.#cores === null) {
      this.#events.after(ms, () => thread.finish());
      return;
    }
    this.#elapse();
    thread.left = ms;
    this.#busy.add(thread);
    this.#schedule();
  }

  /** What each thread computes in a millisecond. */
  get #rate(): number {
    const cores = this.#cores ?? [1];
    const busy = this.#busy.size;
    return (cores[Math.min(busy, cores.length) - 1] ?? 1) / busy;
  }

  #elapse(): void {
    const { now } = this.#events;
    const computed = (now - this.#lastAt) * (this.#busy.size === 0 ? 0 : this.#rate);
    for (const thread of this.#busy) thread.left -= computed;
    this.#lastAt = now;
  }

  /** The next to finish; all earlier plans are void. */
  #schedule(): void {
    const version = ++this.#version;
    let first: Thread | null = null;
    for (const thread of this.#busy) if (first === null || thread.left < first.left) first = thread;
    if (first === null) return;
    const next = first;
    this.#events.after(next.left / this.#rate, () => {
      if (version !== this.#version) return;
      this.#elapse();
      this.#busy.delete(next);
      next.finish();
      this.#schedule();
    });
  }
}

/** Does one thing after another, in the order in which it gets them. */
export class Thread {
  /** Milliseconds of computing that the present work still takes. */
  left = 0;
  readonly #machine: Machine;
  readonly #queue: Work[] = [];
  #current: Work | null = null;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Works that wait or run. */
  get length(): number {
    return this.#queue.length + (this.#current === null ? 0 : 1);
  }

  /** @param ms of computing, as long as it takes on a machine that does nothing else */
  run(ms: number, then: () => void): void {
    const work = { ms, then };
    if (this.#current === null) this.#begin(work);
    else this.#queue.push(work);
  }

  /** For `Machine`: the present work is done. */
  finish(): void {
    const done = this.#current!;
    this.#current = null;
    const next = this.#queue.shift();
    if (next !== undefined) this.#begin(next);
    done.then();
  }

  #begin(work: Work): void {
    this.#current = work;
    this.#machine.begin(this, work.ms);
  }
}
