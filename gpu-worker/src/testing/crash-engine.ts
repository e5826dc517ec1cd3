/** For tests: an engine thread of this process that waits amid its replies, and throws an error that is not caught. */
import type { Worker } from 'node:worker_threads';
import { EngineClient } from '../engine/client.ts';
import { createGate, GATED_THREAD, type Gate, type GatedOptions } from '../engine/testing/gate.ts';

/** The engine that is started next is behind the gate: so none of its replies ends before it is to crash. */
export function gateEngine(): Gate {
  const gate = createGate();
  const start = EngineClient.start;
  EngineClient.start = async (options, queueLimit) => {
    EngineClient.start = start;
    const gated: GatedOptions = { ...options, gate };
    return await start.call(EngineClient, gated, queueLimit, GATED_THREAD);
  };
  return gate;
}

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
