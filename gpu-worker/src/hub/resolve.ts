/** What BLIP2_CHECKPOINT and the commands take: a folder, or the name of a model on a hub. */
import { stat } from 'node:fs/promises';
import { isAbsolute, resolve } from 'node:path';
import { HubError } from './errors.ts';
import { parseModelId } from './model-id.ts';
import { type PullOptions, pull } from './pull.ts';
import { type HubSettings, readHubSettings } from './settings.ts';
import { keptCheckpoint } from './store.ts';

/**
 * Folder of a checkpoint. A folder is given back as it is. A model that was pulled before is taken as it was
 * then, without asking the hub, so that a service starts with the same model each time; another is pulled.
 * @param text folder, `owner/name`, `owner/name@revision` or URL
 * @throws HubError when it is neither a folder nor a model that can be pulled
 */
export async function resolveCheckpoint(
  text: string,
  {
    settings = readHubSettings(process.env),
    ...options
  }: PullOptions & { settings?: HubSettings } = {},
): Promise<string> {
  const folder = resolve(text);
  const found = await stat(folder).catch(() => null);
  if (found?.isDirectory()) return folder;
  if (isAbsolute(text) || /^[.~]/.test(text)) throw new HubError(`There is no folder ${folder}.`);
  const model = parseModelId(text, settings.endpoint);
  const kept = await keptCheckpoint(model, settings);
  if (kept !== undefined) return kept;
  try {
    return await pull(model, settings, options);
  } catch (error) {
    if (!(error instanceof HubError) || (error.status !== 401 && error.status !== 404)) throw error;
    throw new HubError(`${error.message} (There is no folder ${folder} either.)`, {
      cause: error,
      status: error.status,
    });
  }
}
