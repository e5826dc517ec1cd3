/** The engine as the HTTP thread sees it: jobs in, streams of events out. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { ApiError } from '@blip2/shared/errors';
import type { EngineOptions, FromEngine, Job, JobEvent, ToEngine } from './messages.ts';

export class EngineClient {
  readonly #worker: Worker;
  /** Rows that can be decoded together. */
  readonly slots: number;
  readonly #limit: number;
  readonly #jobs = new Map<number, ReadableStreamDefaultController<JobEvent>>();
  #admitted = 0;
  #nextId = 1;

  private constructor(worker: Worker, slots: number, queueLimit: number) {
    this.#worker = worker;
    this.slots = slots;
    this.#limit = slots + queueLimit;
    worker.on('message', (message: FromEngine) => {
      if (message.type === 'event') this.#deliver(message.id, message.event);
    });
  }

  /**
   * Starts the thread, loads the model and waits for its self-test.
   * @param queueLimit jobs that may wait beyond those that hold a slot
   * @throws Error when the model cannot be loaded
   */
  static async start(options: EngineOptions, queueLimit: number): Promise<EngineClient> {
    const worker = new Worker(new URL('./thread.ts', import.meta.url), { workerData: options });
    await once(worker, 'message');
    return new EngineClient(worker, options.maxSlots, queueLimit);
  }

  /** Called when the thread ends by an error: every job has failed by then, and the process should end. */
  onCrash(listener: (error: Error) => void): void {
    this.#worker.on('error', (error: Error) => {
      for (const [id] of this.#jobs) this.#deliver(id, { type: 'failed', message: error.message });
      listener(error);
    });
  }

  /** Requests that were admitted and have not ended. */
  get admitted(): number {
    return this.#admitted;
  }

  /**
   * Takes a place for one request, before any work is spent on it; give it back with `using`.
   * @throws ApiError overloaded when the slots and the queue are taken
   */
  admit(): Disposable {
    if (this.#admitted >= this.#limit) {
      throw new ApiError('overloaded', 'All places and the queue are taken. Try again shortly.', {
        retry_after: 1,
      });
    }
    this.#admitted += 1;
    return {
      [Symbol.dispose]: () => {
        this.#admitted -= 1;
      },
    };
  }

  /**
   * Runs a job. The stream ends after `done`; it errors when the job fails or `signal` aborts, and the engine
   * forgets the job at once when the signal aborts or the reader cancels.
   */
  run(job: Job, signal: AbortSignal): ReadableStream<JobEvent> {
    signal.throwIfAborted();
    const id = this.#nextId++;
    const abort = () => {
      const controller = this.#jobs.get(id);
      this.#forget(id);
      controller?.error(signal.reason);
    };
    return new ReadableStream<JobEvent>({
      start: (controller) => {
        this.#jobs.set(id, controller);
        signal.addEventListener('abort', abort, { once: true });
        this.#post({ type: 'submit', id, job });
      },
      cancel: () => {
        signal.removeEventListener('abort', abort);
        this.#forget(id);
      },
    });
  }

  async stop(): Promise<void> {
    const exited = once(this.#worker, 'exit');
    this.#post({ type: 'close' });
    await exited;
  }

  #forget(id: number): void {
    if (this.#jobs.delete(id)) this.#post({ type: 'cancel', id });
  }

  #deliver(id: number, event: JobEvent): void {
    const controller = this.#jobs.get(id);
    if (controller === undefined) return;
    if (event.type === 'failed') {
      this.#jobs.delete(id);
      controller.error(new Error(`the engine failed: ${event.message}`));
      return;
    }
    controller.enqueue(event);
    if (event.type !== 'done') return;
    this.#jobs.delete(id);
    controller.close();
  }

  #post(message: ToEngine): void {
    this.#worker.postMessage(message);
  }
}
