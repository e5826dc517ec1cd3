/** Adapters that a folder holds without saying that they are meant: the base alone would say other things. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CheckpointError } from '../errors.ts';
import { ADAPTER_CONFIG } from './adapter-config.ts';

const ADAPTER_FILE = /(adapter|(^|[^a-z])q?loras?(?![a-z])).*\.(safetensors|bin|pth?|ckpt)$/i;
/** What a trainer leaves on its way to the adapter that lies at the top. */
const EARLIER = /^checkpoint-\d+$/;

/**
 * @param present names of what is in the folder
 * @param used files of weights and of the adapter that are read
 * @param hasAdapter whether the folder itself is one
 * @throws CheckpointError naming the adapters
 */
export async function expectNoStrayAdapters(
  folder: string,
  present: readonly string[],
  { used, hasAdapter }: { used: readonly string[]; hasAdapter: boolean },
): Promise<void> {
  // The same adapter in both formats of peft is one.
  const stray = present.filter(
    (name) =>
      ADAPTER_FILE.test(name) &&
      !used.includes(name) &&
      !(hasAdapter && /^adapter_model\.(safetensors|bin)$/.test(name)),
  );
  if (stray.length > 0 && !hasAdapter) {
    throw new CheckpointError(
      `${folder} has an adapter (${stray.join(', ')}) without ${ADAPTER_CONFIG}: add that file, which says how to merge it, or remove the adapter.`,
    );
  }
  const folders = (await adapterFolders(folder, present)).filter(
    (name) => !(hasAdapter && EARLIER.test(name)),
  );
  const others = [...stray, ...folders];
  if (others.length === 0) return;
  const what = hasAdapter ? 'more than one adapter' : 'weights and adapters';
  throw new CheckpointError(
    `${folder} holds ${what}: ${others.join(', ')}. Only one can be merged: give the folder of the one that is meant, whose ${ADAPTER_CONFIG} names this base, or move the others elsewhere.`,
  );
}

/** Names of the folders within that are adapters. */
export async function adapterFolders(
  folder: string,
  present: readonly string[],
): Promise<string[]> {
  const found: string[] = [];
  for (const name of present) {
    const config = await stat(join(folder, name, ADAPTER_CONFIG)).catch(() => null);
    if (config?.isFile()) found.push(name);
  }
  return found;
}
