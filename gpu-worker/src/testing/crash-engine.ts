/** For tests: makes the engine thread of this process throw an error that is not caught. */
import type { Worker } from 'node:worker_threads';
import type { FromEngine } from '../engine/protocol.ts';

/**
 * Crashes the engine thread once so many requests have tokens, without a word from another process, which might come when
 * their last token is out. To be called before the thread is started.
 */
export function crashOnTokens(requests: number): void {
  const begun = new Set<number>();
  const onWorker = (worker: Worker) => {
    worker.on('message', (message: FromEngine) => {
      if (message.type === 'ready') process.off('worker', onWorker);
      if (message.type !== 'event' || message.event.type !== 'tokens') return;
      begun.add(message.id);
      if (begun.size === requests) crash(worker);
    });
  };
  process.on('worker', onWorker);
}

/** An invalid job: the thread throws as it would by a bug. */
function crash(thread: Worker): void {
  thread.postMessage({ type: 'submit', id: 0, job: null });
}
