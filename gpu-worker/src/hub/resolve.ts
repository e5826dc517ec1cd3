/** What a checkpoint is called → where it is: a folder or file is itself, a model on a hub is in the cache or pulled. */
import { stat } from 'node:fs/promises';
import { isAbsolute, resolve } from 'node:path';
import { cachedCheckpoint } from './cache.ts';
import { HubError } from './errors.ts';
import { parseModelId } from './model-id.ts';
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
  if ((await stat(path).catch(() => null)) !== null) return path;
  if (isAbsolute(text) || /^[.~]/.test(text))
    throw new HubError(`There is no folder or file ${path}.`);
  const model = parseModelId(text, hub.endpoint);
  const cached = await cachedCheckpoint(model, hub);
  if (cached !== undefined) return cached;
  try {
    return await pull(model, hub, options);
  } catch (error) {
    if (!(error instanceof HubError) || (error.status !== 401 && error.status !== 404)) throw error;
    throw new HubError(`${error.message} (There is no folder or file ${path} either.)`, {
      cause: error,
      status: error.status,
    });
  }
}
