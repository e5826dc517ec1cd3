/** Where pulled checkpoints are kept: `<models>/<owner>--<name>/<commit>/`, and which commit a revision was. */
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ModelId } from './model-id.ts';
import type { HubSettings } from './settings.ts';

/** Folder of all commits of a model. Another hub than the usual one has folders of its own. */
export function modelFolder(model: ModelId, { endpoint, models }: HubSettings): string {
  const isUsual = new URL(model.endpoint).origin === new URL(endpoint).origin;
  const hub = isUsual ? [] : [new URL(model.endpoint).host.replaceAll(':', '_')];
  return join(models, [...hub, ...model.id.split('/')].join('--'));
}

/** Folder of the commit that the revision was at the last pull that came to its end, if there was one. */
export async function keptCheckpoint(
  model: ModelId,
  settings: HubSettings,
): Promise<string | undefined> {
  const commit = await readFile(refOf(model, settings), 'utf8').catch(() => null);
  if (commit === null || !/^[0-9a-f]{40}$/.test(commit)) return undefined;
  const folder = join(modelFolder(model, settings), commit);
  const found = await stat(folder).catch(() => null);
  return found?.isDirectory() ? folder : undefined;
}

/** Notes that every file of the commit is there. */
export async function keepRef(
  model: ModelId,
  commit: string,
  settings: HubSettings,
): Promise<void> {
  const ref = refOf(model, settings);
  await mkdir(dirname(ref), { recursive: true });
  const draft = `${ref}.${process.pid}.tmp`;
  await writeFile(draft, commit);
  await rename(draft, ref);
}

function refOf(model: ModelId, settings: HubSettings): string {
  return join(modelFolder(model, settings), 'refs', encodeURIComponent(model.revision));
}
