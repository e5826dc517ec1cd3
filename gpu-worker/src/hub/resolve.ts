/** What a checkpoint is called → where it is: a folder or file is itself, a model on a hub is in the cache or pulled. */
import { stat } from 'node:fs/promises';
import { isAbsolute, resolve } from 'node:path';
import { explainFileError, isAbsent } from '../file-errors.ts';
import { cachedCheckpoint, lookUp } from './cache.ts';
import { HubError, InterruptedError } from './errors.ts';
import { type ModelId, parseModelId } from './model-id.ts';
import type { HubOptions } from './options.ts';
import { type PullOptions, pull } from './pull.ts';

/**
 * Folder of a checkpoint, or its file of weights. A path of either is returned as it is. A model that is in the cache is used as it was pulled,
 * without asking the hub, so that a service starts with the same model each time; another is pulled.
 * @param text folder, file of weights, `owner/name`, `owner/name@revision` or URL
 * @throws HubError when it is neither a path nor a model that can be pulled
 */
export async function resolveCheckpoint(
  text: string,
  hub: HubOptions,
  options: PullOptions = {},
): Promise<string> {
  const path = resolve(text);
  const isPath = isAbsolute(text) || /^[.~]/.test(text);
  const found = await stat(path).catch(async (cause: unknown) => {
    const why = isPath && !isAbsent(cause) ? await explainFileError(cause) : null;
    if (why !== null) throw new HubError(why, { cause });
    return null;
  });
  if (found !== null) return path;
  if (isPath) throw new HubError(`There is no folder or file ${path}.`);
  try {
    return await cachedOrPulled(parseModelId(text, hub.endpoint), hub, options);
  } catch (error) {
    if (!(error instanceof HubError)) throw error;
    const { message, status } = error;
    if (status !== 400 && status !== 401 && status !== 404) throw error;
    throw new HubError(`${message} (There is no folder or file ${path} either.)`, {
      cause: error,
      status,
    });
  }
}

async function cachedOrPulled(
  model: ModelId,
  hub: HubOptions,
  options: PullOptions,
): Promise<string> {
  const { isTokenizerNeeded } = options;
  const cached = await cachedCheckpoint(model, hub, isTokenizerNeeded);
  if (cached !== undefined) return cached;
  try {
    return await pull(model, hub, options);
  } catch (error) {
    const isUnreachable = error instanceof InterruptedError && error.unreachable;
    const usable = isUnreachable ? await lookUp(model, hub, isTokenizerNeeded) : undefined;
    // Nobody can be asked whether there is more.
    if (usable?.needed.length === 0) return usable.folder;
    throw error;
  }
}
