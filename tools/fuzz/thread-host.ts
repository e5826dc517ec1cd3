/** Runs inputs in a thread that may be ended: endless loops and exhausted memory become findings. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { SubjectName, ThreadReply } from './thread.ts';
import { Violation } from './violation.ts';

/** How long one input may take; a machine with other work to do is slow. */
const INPUT_MS = 30_000;
/** Heap of the thread. */
const HEAP_MB = 768;

export class ThreadHost implements AsyncDisposable {
  readonly #subject: SubjectName;
  #thread: Worker | undefined;

  constructor(subject: SubjectName) {
    this.#subject = subject;
  }

  /** @throws Violation when the subject fails, does not end, or takes its thread with it */
  async run(input: unknown): Promise<string> {
    this.#thread ??= new Worker(new URL('thread.ts', import.meta.url), {
      workerData: this.#subject,
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
    });
    const thread = this.#thread;
    const timeout = AbortSignal.timeout(INPUT_MS);
    try {
      thread.postMessage(input);
      // `once` rejects with what the thread did not survive.
      const [reply] = (await once(thread, 'message', { signal: timeout })) as [ThreadReply];
      if ('failure' in reply) throw new Violation(reply.failure);
      return reply.outcome;
    } catch (error) {
      if (error instanceof Violation) throw error;
      await this[Symbol.asyncDispose]();
      if (timeout.aborted) throw new Violation(`did not end within ${INPUT_MS / 1000} s`);
      throw new Violation(`ended its thread: ${(error as Error).message}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#thread?.terminate();
    this.#thread = undefined;
  }
}
