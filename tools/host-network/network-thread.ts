/** The network to hosts in a thread of its own: whatever hosts send, the start script has its time, and does not end. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { delayOf } from '../backoff.ts';
import { type HostNetwork, newSecret } from './host-network.ts';
import type { ThreadData } from './thread.ts';

const ENTRY = new URL('thread.ts', import.meta.url);

/** Starts it, at the same port again where it ends. */
export async function startNetworkThread(allowPrivate: boolean): Promise<HostNetwork> {
  const secret = newSecret();
  const stopping = new AbortController();
  let thread: Worker;
  let failures = 0;
  const start = async (wanted: number): Promise<number> => {
    const workerData: ThreadData = { allowPrivate, port: wanted, secret };
    thread = new Worker(ENTRY, { workerData });
    const [port] = (await once(thread, 'message')) as [number];
    thread.on('error', (error) => console.error(`The network to hosts failed: ${error.message}`));
    // It is no reason to go on.
    thread.unref();
    thread.once('exit', () => void startAgain(port));
    return port;
  };
  const startAgain = async (port: number) => {
    const { signal } = stopping;
    while (!signal.aborted) {
      await sleep(delayOf(++failures), undefined, { signal }).catch(() => {});
      const isStarted = !signal.aborted && (await start(port).then(Boolean, () => false));
      if (isStarted) return;
    }
  };
  const port = await start(0);
  return {
    ...{ port, secret },
    stop: async () => {
      stopping.abort();
      await thread.terminate();
    },
  };
}
