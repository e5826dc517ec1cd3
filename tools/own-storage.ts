/** What an `npm start` stores is one process's alone: two workerd with one folder find its databases locked. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { lock } from '@blip2/gpu-worker/process-lock';

/**
 * Takes the folder until the process ends. One whose owner was killed is taken over: at once where no process has its id, else
 * when nobody has touched it for 20 s.
 * @throws Error naming what to do where another process has it
 * @example await using _owned = await ownStorage('.wrangler/state');
 */
export async function ownStorage(folder: string): Promise<AsyncDisposable> {
  const path = join(folder, 'owner.lock');
  let seen: number | undefined;
  const wait = async (ms: number) => {
    const found = await stat(path).catch(() => null);
    // Only who lives touches it: after a kill, another process, in a container this one, may have its owner's id.
    if (found !== null && found.mtimeMs !== (seen ?? found.mtimeMs)) throw inUse(folder);
    seen = found?.mtimeMs;
    await delay(ms);
  };
  return await lock(path, { wait, signal: new AbortController().signal });
}

function inUse(folder: string): Error {
  return new Error(
    `Another npm start has its storage in ${folder}: use that one, or end it, or give this one a port and a folder of its own, as in PORT=8788 npm start -- --storage .wrangler/second`,
  );
}
