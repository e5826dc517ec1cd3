/** Brings a checkpoint from a hub onto this machine: all its files of one commit, each verified. */
import { statfs } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { HubClient } from './client.ts';
import { HubError } from './errors.ts';
import { lock } from './lock.ts';
import type { ModelId } from './model-id.ts';
import type { PullProgress } from './progress.ts';
import { type Wait, waitForClock } from './retry.ts';
import type { HubSettings } from './settings.ts';
import { Snapshot } from './snapshot.ts';
import { keepRef, keptCheckpoint, modelFolder } from './store.ts';

export type PullOptions = {
  onProgress?: (progress: PullProgress) => void;
  /** Put the files here and not where pulled checkpoints are kept. */
  out?: string;
  /** Files that come at a time. */
  connections?: number;
  /** How long a connection may give nothing before it is cut. */
  stallMs?: number;
  /** How the time between two attempts passes. */
  wait?: Wait;
  /** Bytes that may still be written where the folder is. */
  freeBytes?: (folder: string) => Promise<number>;
};

/**
 * Folder of the checkpoint, as the hub has it now. What is there already is not fetched again, what an
 * earlier pull has left unfinished is continued.
 * @throws HubError that says what is wrong and what to do
 */
export async function pull(
  model: ModelId,
  settings: HubSettings,
  {
    onProgress = () => {},
    out,
    connections = 4,
    stallMs = 30_000,
    wait = waitForClock,
    freeBytes = freeBytesOf,
  }: PullOptions = {},
): Promise<string> {
  if (settings.offline) return await offline(model, settings);
  const stop = new AbortController();
  const retry = { signal: stop.signal, wait };
  const isTokensHub = new URL(model.endpoint).origin === new URL(settings.endpoint).origin;
  const client = new HubClient(model, isTokensHub ? settings.token : undefined, retry);
  const commit = await client.commit();
  const folder = out === undefined ? join(modelFolder(model, settings), commit) : resolve(out);
  await using _alone = await lock(join(folder, '.pull.lock'), wait, stop.signal);
  const snapshot = new Snapshot({
    client,
    model,
    commit,
    folder,
    // In a folder that is the commit's own, a file of that name was verified when it got it.
    present: out === undefined ? 'was verified' : 'may be anything',
    stallMs,
    retry,
  });
  const files = await snapshot.files();
  await snapshot.checkSpace(files, freeBytes);
  await snapshot.fetch(files, { connections, onProgress, stop });
  if (out === undefined) await keepRef(model, commit, settings);
  return folder;
}

async function offline(model: ModelId, settings: HubSettings): Promise<string> {
  const kept = await keptCheckpoint(model, settings);
  if (kept !== undefined) return kept;
  throw new HubError(
    `HF_HUB_OFFLINE is set, and ${model.id} at ${model.revision} was never pulled to its end into ${settings.models}.`,
  );
}

async function freeBytesOf(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}
