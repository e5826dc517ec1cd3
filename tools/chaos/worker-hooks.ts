/**
 * Preloaded into the GPU worker by `npm run chaos`, and by nothing else: SIGUSR2 crashes its engine thread, SIGWINCH hangs
 * it. From outside neither can be done to one thread alone.
 */
import { isMainThread, workerData } from 'node:worker_threads';

const channel = new BroadcastChannel('chaos');
channel.unref();
if (isMainThread) {
  process.on('SIGUSR2', () => channel.postMessage('crash'));
  process.on('SIGWINCH', () => channel.postMessage('hang'));
} else if ((workerData as { manifest?: unknown } | null)?.manifest !== undefined) {
  channel.onmessage = ({ data }) => {
    if (data === 'crash') throw new Error('crashed on purpose');
    // As a driver that never comes back does.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  };
}
