/** The HTTP thread's side of the engine: jobs in, streams of events out. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { ApiError } from '@blip2/shared/errors';
import { KvBudget } from './kv/kv-budget.ts';
import type {
  Caller,
  EngineOptions,
  FromEngine,
  Job,
  JobEvent,
  SubmitOptions,
  ToEngine,
} from './protocol.ts';
import { type RequestTrace, UNTRACED } from './request-trace.ts';
import { RunningTime } from './running-time.ts';
import { Admission } from './scheduling/admission.ts';
import { deserializeError, serializeError } from './serialize-error.ts';
import type { EngineStats } from './stats.ts';

export type Outcome = 'done' | 'failed' | 'canceled';

/** Called for what the engine does and for how its jobs end. */
export type EngineListener = {
  onStats: (stats: EngineStats) => void;
  onStart: (id: number, kind: Job['kind'], trace: RequestTrace) => void;
  onTokens: (id: number, tokens: TokenTiming) => void;
  onEnd: (id: number, kind: Job['kind'], outcome: Outcome) => void;
  /** A request was not admitted. */
  onRejected: () => void;
};

export type TokenTiming = {
  token: 'first' | 'next';
  /** Since the job started, or since its last tokens. */
  seconds: number;
  /** Tokens that came at once. */
  count: number;
  /** Of the job's trace, where somebody records it. */
  traceId: string | undefined;
};

/** An event of a job's stream: a failure is an error of the stream, and that it advances is none. */
export type JobOutput = Exclude<JobEvent, { type: 'failed' | 'advanced' }>;

/** A job failed in the engine thread. `cause` is the error of that thread, with its stack there. */
export class EngineError extends Error {
  override name = 'EngineError';
  /** Request that the job belongs to, where it was submitted with one. */
  readonly requestId: string | undefined;

  constructor({ error, requestId }: Extract<JobEvent, { type: 'failed' }>) {
    super(`the engine failed: ${error.message}`, { cause: deserializeError(error) });
    this.requestId = requestId;
  }
}

/** The error of a job's stream: a problem where it is one, which has the engine's error as its cause. */
function failureOf(event: Extract<JobEvent, { type: 'failed' }>): Error {
  const cause = new EngineError(event);
  return event.slug === undefined
    ? cause
    : new ApiError(event.slug, event.error.message, { cause });
}

type RunningJob = {
  controller: ReadableStreamDefaultController<JobOutput>;
  kind: Job['kind'];
  requestId: string | undefined;
  trace: RequestTrace;
  onAdvanced: () => void;
  /** Milliseconds of this process's clock. */
  startedAt: number;
  lastTokenAt?: number;
};

const THREAD = new URL('./thread.ts', import.meta.url);

/** Starts the engine thread and talks to it. */
export class EngineClient {
  readonly #worker: Worker;
  /** Sequences that can be decoded together. */
  readonly slots: number;
  /** Memory of keys and values; null where it has no bound. */
  readonly kvBudget: KvBudget | null;
  readonly #admission: Admission;
  readonly #jobs = new Map<number, RunningJob>();
  readonly #listeners: EngineListener[] = [];
  #nextId = 1;
  /** Since the thread was asked for a sign of life that it has not given yet. */
  #owed: RunningTime | null = null;

  private constructor(
    worker: Worker,
    { maxSlots, kvCacheBytes, manifest }: EngineOptions,
    queueLimit: number,
  ) {
    this.#worker = worker;
    this.slots = maxSlots;
    this.kvBudget = kvCacheBytes === undefined ? null : new KvBudget(manifest, kvCacheBytes);
    this.#admission = new Admission(maxSlots + queueLimit);
    worker.on('message', (message: FromEngine) => {
      if (message.type === 'event') this.#deliver(message.id, message.event);
      else if (message.type === 'pong') this.#settle();
      else if (message.type === 'stats') {
        for (const listener of this.#listeners) listener.onStats(message.stats);
      }
    });
  }

  /**
   * Starts the thread, loads the model and waits for its self-test.
   * @param queueLimit jobs that may wait beyond those that hold a slot
   * @param thread module that the thread runs
   * @throws Error when the model cannot be loaded
   */
  static async start(
    options: EngineOptions,
    queueLimit: number,
    thread = THREAD,
  ): Promise<EngineClient> {
    const worker = new Worker(thread, { workerData: options });
    await untilReady(worker);
    return new EngineClient(worker, options, queueLimit);
  }

  /** Calls the listener from now on. */
  listen(listener: EngineListener): void {
    this.#listeners.push(listener);
  }

  /** Calls the listener when the thread ends with an error: every job has failed by then, and the process should exit. */
  onCrash(listener: (error: Error) => void): void {
    this.#worker.on('error', (error: Error) => {
      this.fail(error);
      listener(error);
    });
  }

  /** Fails every job: with the problem, or with an error of the engine. What the thread says of them is not heard any more. */
  fail(error: Error): void {
    const problem = error instanceof ApiError ? { slug: error.slug } : {};
    for (const [id, { requestId }] of this.#jobs) {
      this.#deliver(id, { type: 'failed', error: serializeError(error), ...problem, requestId });
    }
  }

  /** Requests that were admitted and have not ended. */
  get admitted(): number {
    return this.#admission.admitted;
  }

  /** Background requests that could be admitted now. */
  get backgroundPlaces(): number {
    return this.#admission.backgroundPlaces;
  }

  /**
   * Admits one request, before any work is spent on it, until the returned value is disposed.
   * @example using _admitted = engine.admit(caller);
   * @throws ApiError `overloaded` when the slots and the queue are taken, `too-many-requests` for the part of them that one client may have
   */
  admit(caller: Caller): Disposable {
    const refusal = this.#admission.refusal(caller);
    if (refusal === null) return this.#admission.admit(caller);
    for (const listener of this.#listeners) listener.onRejected();
    throw refusal;
  }

  /** To be called before an image is decoded: the engine begins no background work that whoever sent it would have to wait for. */
  expect({ priority }: Caller): void {
    if (priority === 'interactive') this.#post({ type: 'expect' });
  }

  /**
   * Runs a job. The stream ends after `done`; it errors with an `EngineError` when the job fails, or with the `ApiError` that this
   * is, and with the signal's reason when `signal` aborts. The job is canceled as soon as the signal aborts or the reader cancels.
   * @param onAdvanced called with each sign that work on it, which nobody waits for, has begun and goes on
   * @param job its pixels are the engine's from then on: there are none here any more
   */
  run(
    job: Job,
    {
      signal,
      trace = UNTRACED,
      onAdvanced = () => {},
      ...options
    }: SubmitOptions & {
      signal: AbortSignal;
      trace?: RequestTrace | undefined;
      onAdvanced?: (() => void) | undefined;
    },
  ): ReadableStream<JobOutput> {
    signal.throwIfAborted();
    const id = this.#nextId++;
    const abort = () => {
      const running = this.#jobs.get(id);
      this.#forget(id);
      running?.controller.error(signal.reason);
    };
    return new ReadableStream<JobOutput>({
      start: (controller) => {
        const { requestId } = options;
        const { kind } = job;
        const startedAt = performance.now();
        this.#jobs.set(id, { controller, kind, requestId, trace, onAdvanced, startedAt });
        for (const listener of this.#listeners) listener.onStart(id, kind, trace);
        signal.addEventListener('abort', abort, { once: true });
        this.#post({ type: 'submit', id, job, options });
        freePixels(job);
      },
      cancel: () => {
        signal.removeEventListener('abort', abort);
        this.#forget(id);
      },
    });
  }

  /** Drops what is cached of an image, also for the jobs that have come so far: they go on, and cache nothing. */
  dropImage(image: string): void {
    this.#post({ type: 'drop-image', image, at: performance.now() });
  }

  /**
   * Asks the thread for a sign of life, which it gives between two actions.
   * @returns seconds of this process's running time for which it has owed one, about 0 where it has given the last
   */
  heartbeat(): number {
    if (this.#owed === null) {
      this.#owed = new RunningTime();
      this.#post({ type: 'ping' });
    }
    return this.#owed.milliseconds / 1000;
  }

  /** Ends the thread after the action that runs, with the models released. */
  async stop(): Promise<void> {
    const exited = once(this.#worker, 'exit');
    this.#post({ type: 'close' });
    await exited;
    this.#settle();
  }

  #settle(): void {
    this.#owed?.[Symbol.dispose]();
    this.#owed = null;
  }

  #forget(id: number): void {
    const running = this.#jobs.get(id);
    if (running === undefined) return;
    this.#end(id, running, 'canceled');
    this.#post({ type: 'cancel', id });
  }

  #deliver(id: number, event: JobEvent): void {
    const running = this.#jobs.get(id);
    if (running === undefined) return;
    if (event.type === 'advanced') {
      running.onAdvanced();
      return;
    }
    if (event.type === 'failed') {
      this.#end(id, running, 'failed');
      running.controller.error(failureOf(event));
      return;
    }
    if (event.type === 'tokens') this.#timeToken(id, running, event.tokens.length);
    running.controller.enqueue(event);
    if (event.type !== 'done') return;
    this.#end(id, running, 'done');
    running.controller.close();
  }

  #timeToken(id: number, running: RunningJob, count: number): void {
    const now = performance.now();
    const { lastTokenAt, startedAt, trace } = running;
    running.lastTokenAt = now;
    const token = lastTokenAt === undefined ? 'first' : 'next';
    const seconds = (now - (lastTokenAt ?? startedAt)) / 1000;
    const timing = { token, seconds, count, traceId: trace.traceId } as const;
    for (const listener of this.#listeners) listener.onTokens(id, timing);
  }

  #end(id: number, { kind }: RunningJob, outcome: Outcome): void {
    this.#jobs.delete(id);
    for (const listener of this.#listeners) listener.onEnd(id, kind, outcome);
  }

  #post(message: ToEngine): void {
    this.#worker.postMessage(message);
  }
}

/**
 * The engine has a copy: a megabyte of each request would else stay here until the text about it ends. Moved, they would count as this
 * thread's until that one collects its garbage.
 */
function freePixels(job: Job): void {
  if ('source' in job && job.source.kind === 'pixels') job.source.pixels.buffer.transfer(0);
}

/** Stats of its self-test come before it is ready. @throws Error when the thread ends instead */
async function untilReady(worker: Worker): Promise<void> {
  for (;;) {
    const [message] = (await once(worker, 'message')) as [FromEngine];
    if (message.type === 'ready') return;
  }
}
