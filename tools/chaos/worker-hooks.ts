/**
 * Preloaded into the GPU worker by `npm run chaos`, and by nothing else: SIGUSR2 crashes its engine thread, SIGWINCH hangs
 * it, which cannot be done to one thread from outside. SIGIO sets the clock of the process a day ahead, and next time two days back.
 */
import { isMainThread, workerData } from 'node:worker_threads';

const DAY_MS = 86_400_000;
/** Milliseconds by which the clock on the wall is wrong. The one that timers use never jumps. */
let jump = 0;
const TrueDate = Date;
globalThis.Date = class extends TrueDate {
  constructor(...parts: [] | [number]) {
    if (parts.length === 0) super(TrueDate.now() + jump);
    else super(...parts);
  }

  static override now(): number {
    return TrueDate.now() + jump;
  }
} as DateConstructor;

const channel = new BroadcastChannel('chaos');
channel.unref();
if (isMainThread) {
  process.on('SIGUSR2', () => channel.postMessage('crash'));
  process.on('SIGIO', () => {
    jump = jump > 0 ? -DAY_MS : DAY_MS;
    channel.postMessage(jump);
  });
  process.on('SIGWINCH', () => channel.postMessage('hang'));
} else if ((workerData as { manifest?: unknown } | null)?.manifest !== undefined) {
  channel.onmessage = ({ data }) => {
    if (typeof data === 'number') {
      jump = data;
      return;
    }
    if (data === 'crash') throw new Error('crashed on purpose');
    // As a driver that never comes back does.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  };
}
