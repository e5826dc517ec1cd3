/** What a checkpoint is called → its folder: a folder is itself, a model on a hub is in the cache or pulled. */
import { stat } from 'node:fs/promises';
import { isAbsolute, resolve } from 'node:path';
import { cachedCheckpoint } from './cache.ts';
import { HubError } from './errors.ts';
import { parseModelId } from './model-id.ts';
import type { HubOptions } from './options.ts';
import { type PullOptions, pull } from './pull.ts';

/**
 * Folder of a checkpoint. A folder is returned as it is. A model that is in the cache is used as it was pulled,
 * without asking the hub, so that a service starts with the same model each time; another is pulled.
 * @param text folder, `owner/name`, `owner/name@revision` or URL
 * @throws HubError when it is neither a folder nor a model that can be pulled
 */
export async function resolveCheckpoint(
  text: string,
  hub: HubOptions,
  options: PullOptions = {},
): Promise<string> {
  const folder = resolve(text);
  const found = await stat(folder).catch(() => null);
  if (found?.isDirectory()) return folder;
  if (isAbsolute(text) || /^[.~]/.test(text)) throw new HubError(`There is no folder ${folder}.`);
  const model = parseModelId(text, hub.endpoint);
  const cached = await cachedCheckpoint(model, hub);
  if (cached !== undefined) return cached;
  try {
    return await pull(model, hub, options);
  } catch (error) {
    if (!(error instanceof HubError) || (error.status !== 401 && error.status !== 404)) throw error;
    throw new HubError(`${error.message} (There is no folder ${folder} either.)`, {
      cause: error,
      status: error.status,
    });
  }
}
