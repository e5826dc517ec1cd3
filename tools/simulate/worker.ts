/** A simulated GPU worker: admission, its HTTP thread, processes that decode images, and the engine. */
import { Admission } from '@blip2/gpu-worker/engine/scheduling/admission';
import type { Random } from '../load/random.ts';
import { type EngineSettings, SimulatedEngine } from './engine.ts';
import type { EventQueue } from './event-queue.ts';
import type { Machine, Thread } from './machine.ts';
import type { ServiceTimes } from './service-times.ts';

export type WorkerSettings = EngineSettings & {
  /** Requests that wait for slots, at most. */
  queueLimit: number;
  /** Processes that decode images. */
  decoders: number;
};

/** A request, and who hears what becomes of it. */
export type Task = {
  image: number;
  client: string;
  /** Whether it comes with an image, and not with embeddings. */
  isNew: boolean;
  /** How long its way to the engine is, of what is typical. */
  spread: number;
  tokens: number;
  onEncoded: () => void;
  onToken: (isLast: boolean) => void;
  onRefused: () => void;
  /** The worker is gone. */
  onLost: () => void;
};

export class SimulatedWorker {
  readonly url: string;
  readonly weight = 1;
  /** Requests that were sent to it and have not ended. */
  inFlight = 0;
  isGone = false;
  readonly engine: SimulatedEngine;
  readonly #times: ServiceTimes;
  readonly #http: Thread;
  readonly #decoders: readonly Thread[];
  readonly #admission: Admission;
  readonly #tasks = new Set<Task>();

  constructor(
    url: string,
    machine: Machine,
    times: ServiceTimes,
    settings: WorkerSettings,
    { random, events }: { random: Random; events: EventQueue },
  ) {
    this.url = url;
    this.#times = times;
    this.#http = machine.thread();
    this.#decoders = Array.from({ length: settings.decoders }, () => machine.thread());
    this.#admission = new Admission(settings.maxSlots + settings.queueLimit);
    const now = () => events.now;
    this.engine = new SimulatedEngine(machine.thread(), times.engine, settings, { random, now });
  }

  run(task: Task): void {
    if (this.isGone) {
      task.onLost();
      return;
    }
    const { hit, miss, token } = this.#times;
    const { before, decode, after, later } = task.isNew ? miss : hit;
    this.#tasks.add(task);
    this.#run(task.spread * before.http, () => {
      const caller = { client: task.client, priority: 'interactive' } as const;
      if (this.#admission.refusal(caller) !== null) {
        this.#tasks.delete(task);
        task.onRefused();
        return;
      }
      const admitted = this.#admission.admit(caller);
      const submit = () => {
        this.engine.submit({
          ...task,
          onEncoded: () => this.#ifThere(task.onEncoded),
          onToken: (isLast) =>
            this.#run(token.http, () => {
              if (!isLast) return task.onToken(false);
              admitted[Symbol.dispose]();
              this.#run(after.http, () => {
                this.#tasks.delete(task);
                task.onToken(true);
                this.#run(later.http, () => {});
              });
            }),
        });
      };
      if (task.isNew) this.#leastBusy().run(task.spread * decode, () => this.#ifThere(submit));
      else submit();
    });
  }

  /** It is taken away with all that it has. */
  lose(): void {
    this.isGone = true;
    for (const task of this.#tasks) task.onLost();
    this.#tasks.clear();
  }

  #run(ms: number, then: () => void): void {
    if (ms === 0) this.#ifThere(then);
    else this.#http.run(ms, () => this.#ifThere(then));
  }

  #ifThere(then: () => void): void {
    if (!this.isGone) then();
  }

  #leastBusy(): Thread {
    return this.#decoders.reduce((least, one) => (one.length < least.length ? one : least));
  }
}
