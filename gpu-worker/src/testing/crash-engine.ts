/** For tests: makes the engine thread of this process throw an error that is not caught. */
import type { Worker } from 'node:worker_threads';

/** The engine thread, when it is ready; to be called before it is started. No other thread posts this message. */
export function engineThread(): Promise<Worker> {
  return new Promise((resolve) => {
    const onWorker = (worker: Worker) => {
      worker.on('message', (message: { type?: unknown }) => {
        if (message.type !== 'ready') return;
        process.off('worker', onWorker);
        resolve(worker);
      });
    };
    process.on('worker', onWorker);
  });
}

/** An invalid job: the thread throws as it would by a bug. */
export function crash(thread: Worker): void {
  thread.postMessage({ type: 'submit', id: 0, job: null });
}
