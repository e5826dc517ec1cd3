/** A lock between processes: a file that its owner touches while it lives. */
import { readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import * as z from 'zod/mini';
import { makeFolder } from '../make-folder.ts';
import type { Wait } from './retry.ts';

const Owner = z.object({ host: z.string(), pid: z.int() });
const HEARTBEAT_MS = 5000;
/** An owner that has not touched its lock for this long is gone, whatever its process id says. */
const ABANDONED_MS = 20_000;
const POLL_MS = 500;

/**
 * Acquires the lock, waiting for whoever has it; disposal releases it.
 * @example await using _lock = await lock('.locks/model', waitForClock, signal);
 */
export async function lock(
  path: string,
  wait: Wait,
  signal: AbortSignal,
): Promise<AsyncDisposable> {
  await makeFolder(dirname(path));
  while (!(await acquire(path))) {
    if (await isAbandoned(path)) await breakLock(path);
    else await wait(POLL_MS, signal);
  }
  const heartbeat = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => clearInterval(heartbeat));
  }, HEARTBEAT_MS);
  heartbeat.unref();
  return {
    [Symbol.asyncDispose]: async () => {
      clearInterval(heartbeat);
      await rm(path, { force: true });
    },
  };
}

async function acquire(path: string): Promise<boolean> {
  try {
    const owner: z.infer<typeof Owner> = { host: hostname(), pid: process.pid };
    await writeFile(path, JSON.stringify(owner), { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function isAbandoned(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  if (found === null) return false;
  if (Date.now() - found.mtimeMs > ABANDONED_MS) return true;
  const owner = parseOwner(await readFile(path, 'utf8').catch(() => ''));
  return owner !== undefined && owner.host === hostname() && !isAlive(owner.pid);
}

function parseOwner(text: string): z.infer<typeof Owner> | undefined {
  try {
    return Owner.parse(JSON.parse(text));
  } catch {
    // Its owner is writing it.
    return undefined;
  }
}

/** Of several that find it abandoned, one moves it away; the others find nothing to move. */
async function breakLock(path: string): Promise<void> {
  const away = `${path}.${process.pid}`;
  await rename(path, away).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
  await rm(away, { force: true });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
