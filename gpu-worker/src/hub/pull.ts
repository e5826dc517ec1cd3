/** Brings a checkpoint from a hub onto this machine: all its files of one commit, each verified. */
import { statfs } from 'node:fs/promises';
import { resolve } from 'node:path';
import { explainFileError } from '../file-errors.ts';
import { lock } from '../process-lock.ts';
import { CACHE_ADVICE, cacheDestination, lookUp } from './cache.ts';
import { HubClient } from './client.ts';
import { folderDestination } from './destination.ts';
import { HubError } from './errors.ts';
import type { ModelId } from './model-id.ts';
import type { HubOptions } from './options.ts';
import type { PullProgress } from './progress.ts';
import { fetchThrough } from './proxy.ts';
import { type Wait, waitForClock } from './retry.ts';
import { selectFiles } from './select-files.ts';
import { type Objection, Snapshot } from './snapshot.ts';
import { tokenOf } from './token.ts';

export type PullOptions = {
  onProgress?: (progress: PullProgress) => void;
  /** Put the files into this folder, and not into the cache. */
  out?: string;
  /** Refuses a checkpoint by its config, before its weights are fetched. */
  objection?: Objection;
  /** Whether a repository without one is refused; that of an adapter's base may not be needed. */
  isTokenizerNeeded?: boolean;
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
 * @example await pull(parseModelId('Salesforce/blip2-opt-2.7b', hub.endpoint), hub)
 */
export async function pull(
  model: ModelId,
  hub: HubOptions,
  options: PullOptions = {},
): Promise<string> {
  try {
    return await bring(model, hub, options);
  } catch (error) {
    const place = { folder: hub.cache, advice: CACHE_ADVICE };
    const why = await explainFileError(error, options.out === undefined ? [place] : []);
    throw why === null ? error : new HubError(why, { cause: error });
  }
}

async function bring(
  model: ModelId,
  hub: HubOptions,
  {
    onProgress = () => {},
    out,
    objection,
    isTokenizerNeeded = true,
    connections = 4,
    stallMs = 30_000,
    wait = waitForClock,
    freeBytes = freeBytesOf,
  }: PullOptions,
): Promise<string> {
  if (hub.offline) return await offline(model, hub, isTokenizerNeeded);
  const stop = new AbortController();
  const retry = { signal: stop.signal, wait };
  const isTokensHub = new URL(model.endpoint).origin === new URL(hub.endpoint).origin;
  const client = new HubClient(
    model,
    isTokensHub ? await tokenOf(hub) : undefined,
    retry,
    fetchThrough(hub.proxy),
  );
  const commit = await client.commit();
  const destination =
    out === undefined ? cacheDestination(model, commit, hub) : folderDestination(resolve(out));
  await destination.prepare();
  await using _lock = await lock(destination.lockPath, {
    wait,
    signal: stop.signal,
    advice: destination.advice,
  });
  const snapshot = new Snapshot({ client, model, commit, destination, stallMs, retry, objection });
  const listed = await client.files(commit);
  const contents = await snapshot.contents(selectFiles(listed, model, isTokenizerNeeded), listed);
  await snapshot.checkSpace(contents, freeBytes);
  await snapshot.fetch(contents, { connections, onProgress, stop });
  await destination.finish(listed);
  return destination.folder;
}

/** Optional files that nobody has asked for count as absent, as they do to transformers. */
async function offline(
  model: ModelId,
  hub: HubOptions,
  isTokenizerNeeded: boolean,
): Promise<string> {
  const { id, revision } = model;
  const cached = await lookUp(model, hub, isTokenizerNeeded);
  if (cached === undefined) {
    throw new HubError(
      `HF_HUB_OFFLINE is set, and ${hub.cache} does not hold ${id} at ${revision}. Pull it once without, or set HF_HUB_CACHE to where it is.`,
    );
  }
  if (cached.needed.length === 0) return cached.folder;
  throw new HubError(
    `HF_HUB_OFFLINE is set, and ${hub.cache} does not hold all of ${id} at ${revision}: ${cached.needed.join(', ')} missing in ${cached.folder}. Pull it once without HF_HUB_OFFLINE.`,
  );
}

async function freeBytesOf(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}
