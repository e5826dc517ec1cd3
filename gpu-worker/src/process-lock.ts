/** A lock between processes: a file that its owner touches while it lives. */
import { randomUUID } from 'node:crypto';
import { link, open, rename, rm, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import * as z from 'zod/mini';
import { naming } from './file-errors.ts';
import { makeFolder } from './make-folder.ts';
import { readText } from './regular-file.ts';

/** `token` tells the locks of one process apart. */
const Owner = z.object({ host: z.string(), pid: z.int(), token: z.optional(z.string()) });

type Options = {
  /** Waits, or rejects when the signal aborts. */
  wait: (ms: number, signal: AbortSignal) => Promise<void>;
  signal: AbortSignal;
  /** What to do where its folder cannot be made, as another sentence. */
  advice?: string;
  /** Milliseconds of a clock that never goes back. */
  now?: () => number;
};

const HEARTBEAT_MS = 5000;
/** An owner that has not touched its lock for this long, while somebody watched, is gone, whatever its process id says. */
const ABANDONED_MS = 20_000;
const POLL_MS = 500;

/**
 * Acquires the lock, waiting for whoever has it; disposal releases it. Whether an owner is silent is seen by watching its
 * lock, and not by comparing times: a clock that jumps breaks no lock.
 * @example await using _lock = await lock('.locks/model', { wait: waitForClock, signal });
 */
export async function lock(
  path: string,
  { wait, signal, advice = '', now = () => performance.now() }: Options,
): Promise<AsyncDisposable> {
  await makeFolder(dirname(path), advice);
  const token = randomUUID();
  const watch = watcher(path, now);
  while (!(await acquire(path, token))) {
    const seen = await watch();
    if (seen.isAbandoned) await breakLock(path, seen.mark, token);
    else await wait(POLL_MS, signal);
  }
  const isOurs = async () => (await ownerOf(path))?.token === token;
  const heartbeat = setInterval(async () => {
    const time = new Date();
    if (await isOurs()) await utimes(path, time, time).catch(() => {});
    else clearInterval(heartbeat);
  }, HEARTBEAT_MS);
  heartbeat.unref();
  return {
    [Symbol.asyncDispose]: async () => {
      clearInterval(heartbeat);
      // An owner that was stopped for long may have lost it to another.
      if (await isOurs()) await rm(path, { force: true });
    },
  };
}

async function acquire(path: string, token: string): Promise<boolean> {
  const owner: z.infer<typeof Owner> = { host: hostname(), pid: process.pid, token };
  const file = await open(path, 'wx').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') return null;
    throw error;
  });
  if (file === null) return false;
  try {
    await naming(path, () => file.writeFile(JSON.stringify(owner)));
    return true;
  } catch (error) {
    // On a full disk it was made, and holds nothing.
    await rm(path, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

/** Looks at a lock again and again: its mark changes with its owner, and whenever the owner touches it. */
function watcher(path: string, now: () => number) {
  let last = { mark: '', since: now() };
  return async (): Promise<{ isAbandoned: boolean; mark: string }> => {
    const mark = await markOf(path);
    if (mark !== last.mark) last = { mark, since: now() };
    if (mark === '') return { isAbandoned: false, mark };
    const owner = await ownerOf(path);
    const isGone = owner !== undefined && owner.host === hostname() && !isAlive(owner.pid);
    return { isAbandoned: isGone || now() - last.since >= ABANDONED_MS, mark };
  };
}

async function markOf(path: string): Promise<string> {
  const found = await stat(path).catch(() => null);
  return found === null ? '' : `${found.ino} ${found.mtimeMs}`;
}

/** Undefined while its owner is writing it, and of what is no lock. */
async function ownerOf(path: string): Promise<z.infer<typeof Owner> | undefined> {
  try {
    return Owner.parse(JSON.parse(await readText(path)));
  } catch {
    return undefined;
  }
}

/**
 * Of several that find it abandoned, one moves it away; the others find nothing to move. Who was so late that it moved the
 * lock of a new owner puts that back.
 */
async function breakLock(path: string, mark: string, token: string): Promise<void> {
  const away = `${path}.${token}`;
  try {
    await rename(path, away);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  if ((await markOf(away)) !== mark) await link(away, path).catch(() => {});
  await rm(away, { force: true, recursive: true });
}

/** Whether a process of this machine runs. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
