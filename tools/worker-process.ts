/** The GPU worker as a child process: started, waited for, looked at, ended. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { readConfig } from '@blip2/gpu-worker/config';
import { FINISH_MS } from '@blip2/gpu-worker/job-options';
import { ROOT } from './prepare-edge.ts';
import type { LogLevel } from './serve-worker.ts';
import { lookAt, type Running } from './supervise.ts';

/** How long a worker may take to end by itself: what it may take for items of jobs, and to put back those that it has not finished. */
const GRACE_MS = FINISH_MS + 10_000;
/** The same once this process is gone, and with it the edge and the queue of those items. */
const ORPHAN_GRACE_S = 10;
const LOOK_TIMEOUT_MS = 2000;
const END_WITH_PARENT = fileURLToPath(new URL('end-with-parent.sh', import.meta.url));

/** It ends with this process: by itself where it still can, else by a watcher. */
export function launchWorker(
  environment: Record<string, string>,
  logLevel: LogLevel,
): ChildProcess {
  const command = [process.execPath, join(ROOT, 'gpu-worker/src/main.ts'), '--attached'];
  const watched = process.platform === 'win32' ? command : ['/bin/sh', END_WITH_PARENT, ...command];
  const [program = '', ...args] = watched;
  return spawn(program, args, {
    env: {
      BLIP2_LOG_LEVEL: logLevel === 'log' ? 'info' : 'warn',
      END_GRACE_S: String(ORPHAN_GRACE_S),
      ...process.env,
      ...environment,
    },
    stdio: ['pipe', logLevel === 'log' ? 'inherit' : 'ignore', 'inherit'],
  });
}

/** Asks the worker to drain and waits for its exit; kills one that takes too long. */
export async function endWorker(worker: ChildProcess): Promise<void> {
  if (hasEnded(worker)) return;
  const exited = once(worker, 'exit');
  worker.kill('SIGTERM');
  const kill = setTimeout(() => worker.kill('SIGKILL'), GRACE_MS);
  await exited;
  clearTimeout(kill);
}

/**
 * @param timeoutMs how long it may take
 * @throws Error when the worker ends, or is not ready in time or before the signal aborts: then it has been killed
 */
export async function untilReady(
  worker: ChildProcess,
  url: string,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline && !signal?.aborted) {
    if (hasEnded(worker)) {
      const how = worker.signalCode ?? worker.exitCode;
      throw new Error(`The GPU worker ended (${how}); its message is above.`);
    }
    const patience = AbortSignal.timeout(LOOK_TIMEOUT_MS);
    const response = await fetch(`${url}/readyz`, { signal: patience }).catch(() => null);
    await response?.body?.cancel();
    if (response?.ok) return;
    await delay(50);
  }
  await killWorker(worker);
  signal?.throwIfAborted();
  throw new Error(`The GPU worker did not get ready within ${Math.round(timeoutMs / 1000)} s.`);
}

/** A worker that is ready, to be supervised. @param url its base URL */
export function runningWorker(worker: ChildProcess, url: string): Running {
  const ended = hasEnded(worker) ? Promise.resolve() : once(worker, 'exit');
  return {
    ended: ended.then(() => worker.signalCode ?? `code ${worker.exitCode}`),
    look: (signal) => lookAt(`${url}/healthz`, signal, ({ ok }) => ok),
    pid: async () => worker.pid ?? 0,
    kill: () => killWorker(worker),
  };
}

/** For one that may hang: it is not asked. */
async function killWorker(worker: ChildProcess): Promise<void> {
  if (hasEnded(worker)) return;
  const exited = once(worker, 'exit');
  worker.kill('SIGKILL');
  await exited;
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

/**
 * Requests that one edge may have at a worker: those that it takes.
 * @param variables of the worker, beside those of this process
 */
export function requestsOf(variables: Readonly<Record<string, string | undefined>>): number {
  const { maxSlots, queueLimit } = readConfig({ ...process.env, ...variables });
  return maxSlots + queueLimit;
}
