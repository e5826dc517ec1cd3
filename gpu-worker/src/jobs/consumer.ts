/** Takes items of jobs from the queue as places for background work get free, runs them, and has their results committed. */
import { setTimeout as pause } from 'node:timers/promises';
import { ApiError } from '@blip2/shared/errors';
import { LRUCache } from 'lru-cache';
import { untilAborted } from '../http/until-aborted.ts';
import { shuttingDown } from '../http/worker-errors.ts';
import type { JobMeter } from '../job-metrics.ts';
import type { Logger } from '../logger.ts';
import { Committer, type CommitterOptions } from './committer.ts';
import type { Part } from './edge-client.ts';
import { type Item, itemOf, nameOf } from './message.ts';
import type { Queue, Received } from './queue.ts';
import { SourceAway } from './read-source.ts';
import { type Running, runItem, type Suspicion } from './run-item.ts';
import { backoffMs, type Timing } from './timing.ts';

/** An item that came so often without having ended in order may be what ends workers: it is run alone. */
const SUSPECT_RECEIVES = 3;
/** Messages that are held at a time, with those whose results the edge has not taken yet. */
const MAX_HELD = 500;
const MAX_AGAIN_S = 900;
/** Which came so often waits until nothing else runs, however long: it went back often enough. */
const PATIENT_RECEIVES = 6;
const MAX_OVER = 10_000;

/** A suspect's `ready` resolves once it waits for its turn, at the latest when it has ended. Neither rejects. */
type Run = { isSuspect: boolean; ready: Promise<void>; ended: Promise<void> };
type Suspect = Pick<Received, 'receives' | 'isSuspect'> & {
  /** Receives, of which some are no reason for suspicion. */
  came: number;
  grant: () => void;
  refuse: (problem: ApiError) => void;
  run: Run;
};

export type ConsumerOptions = Omit<Running, 'signal' | 'placeMs' | 'suspicion'> & {
  queue: Queue;
  /** Of the queue: held messages are extended three times as often. */
  visibilityS: number;
  fingerprint: CommitterOptions['fingerprint'];
  timing: Timing;
  log: Logger;
  meter: JobMeter;
};

export class Consumer {
  readonly #options: ConsumerOptions;
  readonly #committer: Committer;
  /** Messages that are this worker's: each is extended until it is deleted or hidden. */
  readonly #held = new Set<Received>();
  readonly #running = new Set<Run>();
  /** Those whose image can be had, and that wait until nothing else runs: then they are run one by one. */
  #suspects: Suspect[] = [];
  /** Jobs and parts of which nothing more is to be run: their messages may be in the queue for long. */
  readonly #over = new LRUCache<string, true>({ max: MAX_OVER });
  /**
   * How often items ended here in a way that may pass: that a slow host has their images is no reason for suspicion. How often an image
   * could not be had the edge knows of all workers.
   */
  readonly #passed = new LRUCache<string, number>({ max: MAX_OVER });
  readonly #stopping = new AbortController();
  readonly #ended = new AbortController();
  readonly #heartbeat: NodeJS.Timeout;
  readonly #loop: Promise<void>;

  /** Begins at once. */
  constructor(options: ConsumerOptions) {
    this.#options = options;
    this.#committer = new Committer({
      ...options,
      onCanceled: (job) => this.#over.set(job, true),
      onEnded: (part) => this.#over.set(nameOfPart(part), true),
      onLeft: ({ received }) => this.#leave(received),
    });
    this.#heartbeat = setInterval(
      () => {
        void options.queue.extend([...this.#held]);
      },
      (1000 * options.visibilityS) / 3,
    );
    this.#loop = this.#receiveAll();
  }

  /**
   * Receives nothing more, and finishes what runs. What is not finished after `graceMs` goes to other workers at once.
   */
  async stop(graceMs = this.#options.timing.graceMs): Promise<void> {
    this.#stopping.abort(shuttingDown());
    const timer = setTimeout(() => this.#giveUp(), graceMs);
    await this.#loop;
    await Promise.all(this.#runs(({ ended }) => ended));
    await this.#committer.flush();
    clearTimeout(timer);
    clearInterval(this.#heartbeat);
    await this.#options.queue.hide([...this.#held], 0);
  }

  #giveUp(): void {
    this.#ended.abort(shuttingDown());
    void this.#committer.stop();
  }

  async #receiveAll(): Promise<void> {
    const { timing, log } = this.#options;
    const { signal } = this.#stopping;
    let failures = 0;
    while (!signal.aborted) {
      try {
        if (this.#suspects.length > 0) await this.#runSuspects();
        else if (this.#places() > 0) await this.#receive();
        else await Promise.race([pause(timing.placeMs), ...this.#runs(({ ended }) => ended)]);
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        log.warn('not-received', { error, failures: ++failures });
        await pause(backoffMs(timing, failures), undefined, { signal }).catch(() => {});
      }
    }
  }

  /** Items that may be received now: enough to fill the slots and the next pass, so that others wait where all workers see them. */
  #places(): number {
    const { engine } = this.#options.dependencies;
    const own = 2 * engine.slots - this.#running.size;
    return Math.min(own, engine.backgroundPlaces, MAX_HELD - this.#held.size);
  }

  async #receive(): Promise<void> {
    const { queue, log, timing, meter } = this.#options;
    const mayWait = ![...this.#running].some(({ isSuspect }) => isSuspect);
    const { signal } = this.#stopping;
    const messages = await queue.receive(this.#places(), { mayWait, signal });
    meter.received(messages.length, 'items');
    for (const received of messages) this.#held.add(received);
    meter.inHand(this.#held.size);
    if (signal.aborted) return;
    for (const received of messages) {
      const item = itemOf(received, log);
      // Another version may know it.
      if (item === null) await this.#hide(received, timing.againS);
      else this.#start(item);
    }
  }

  /**
   * Those that the edge suspects last, else those that came least first, each committed before the next: when one of them ends this
   * process, it takes no result of another with it.
   */
  async #runSuspects(): Promise<void> {
    if (!(await this.#othersEnd())) {
      const suspects = this.#suspects;
      this.#suspects = [];
      const detail = 'What runs beside it takes long: it is run alone later.';
      for (const { refuse } of suspects) refuse(new ApiError('overloaded', detail));
      await Promise.all(suspects.map(({ run }) => run.ended));
      return;
    }
    await this.#committer.flush();
    const suspects = this.#suspects.sort(
      (a, b) => Number(a.isSuspect) - Number(b.isSuspect) || a.receives - b.receives,
    );
    this.#suspects = [];
    for (const { grant, run } of suspects) {
      grant();
      await run.ended;
      await this.#committer.flush();
    }
  }

  /**
   * Whether nothing but suspects that wait is left. One slow item keeps this worker from receiving others, and those that wait for it
   * from memory, only for so long: false then.
   */
  async #othersEnd(): Promise<boolean> {
    const { suspectMs } = this.#options.timing;
    const others = Promise.all(this.#runs(({ ready }) => ready)).then(() => true);
    if (this.#suspects.some(({ came }) => came >= PATIENT_RECEIVES)) return others;
    const ended = new AbortController();
    const signal = AbortSignal.any([ended.signal, this.#stopping.signal]);
    const bound = pause(suspectMs, false, { signal }).catch(() => others);
    try {
      return await Promise.race([others, bound]);
    } finally {
      ended.abort();
    }
  }

  #runs(promiseOf: (run: Run) => Promise<void>): Promise<void>[] {
    return Array.from(this.#running, promiseOf);
  }

  #start(item: Item): void {
    const { receives: received, isSuspect: isMarked } = item.received;
    let receives = received - this.#passedOf(item);
    const isSuspect = isMarked || receives >= SUSPECT_RECEIVES;
    const ready = Promise.withResolvers<void>();
    const remains = (failures: number) => {
      receives = Math.min(receives, received - failures);
      run.isSuspect = isMarked || receives >= SUSPECT_RECEIVES;
      return run.isSuspect;
    };
    const turn = async () => {
      const { promise, resolve: grant, reject: refuse } = Promise.withResolvers<void>();
      this.#suspects.push({ receives, came: received, isSuspect: isMarked, grant, refuse, run });
      ready.resolve();
      await untilAborted(promise, this.#stopping.signal);
    };
    const ended = this.#run(item, isSuspect ? { remains, turn } : null).finally(() => {
      ready.resolve();
      this.#running.delete(run);
    });
    const run: Run = { isSuspect, ready: ready.promise, ended };
    this.#running.add(run);
  }

  async #run({ message, received }: Item, suspicion: Suspicion | null): Promise<void> {
    const { dependencies, edge, timing, queue, log, meter } = this.#options;
    const { signal } = this.#ended;
    const { placeMs } = timing;
    const isOver = this.#over.has(message.job) || this.#over.has(nameOfPart(message));
    const ran = isOver
      ? { kind: 'over' as const }
      : await runItem({ message, received }, { dependencies, edge, placeMs, signal, suspicion });
    if (ran.kind === 'result') {
      meter.ended(ran.outcome.kind === 'failed' ? 'failed' : 'done');
      this.#committer.add({ message, received, ...ran });
      return;
    }
    meter.ended(ran.kind);
    if (ran.kind === 'over') {
      await queue.delete([received]);
      this.#leave(received);
      return;
    }
    const failures = ran.problem instanceof SourceAway ? ran.problem.failures : 0;
    const passed = Math.max(this.#passedOf({ message }) + 1, failures);
    this.#passed.set(nameOfItem({ message }), passed);
    const { slug, cause, message: detail } = ran.problem;
    log.warn('item-again', { request_id: nameOf(message), problem: slug, detail, error: cause });
    const seconds = Math.min(MAX_AGAIN_S, timing.againS * 2 ** (received.receives - 1));
    await this.#hide(received, this.#stopping.signal.aborted ? 0 : seconds);
  }

  #passedOf(item: Pick<Item, 'message'>): number {
    return this.#passed.get(nameOfItem(item)) ?? 0;
  }

  async #hide(received: Received, seconds: number): Promise<void> {
    this.#leave(received);
    await this.#options.queue.hide([received], seconds);
  }

  #leave(received: Received): void {
    this.#held.delete(received);
    this.#options.meter.inHand(this.#held.size);
  }
}

function nameOfItem({ message }: Pick<Item, 'message'>): string {
  return `${nameOfPart(message)}/${message.item}`;
}

function nameOfPart({ job, part }: Part): string {
  return `${job}/${part}`;
}
