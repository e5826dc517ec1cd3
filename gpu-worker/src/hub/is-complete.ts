/** Whether a folder of the cache holds all of a checkpoint: other libraries pull only the files that they need. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { shardNames } from './select-files.ts';

const REQUIRED = ['config.json', 'tokenizer.json'];

/** A checkpoint may do without, but then it must be known that its repository has none. */
export const NEED_NOT_EXIST = ['preprocessor_config.json'];

/** @param isAbsent whether the repository is known not to have a file */
export async function isComplete(
  folder: string,
  isAbsent: (path: string) => Promise<boolean>,
): Promise<boolean> {
  // Follows links: one into nothing is no file.
  const has = async (path: string) => (await stat(join(folder, path)).catch(() => null)) !== null;
  for (const path of REQUIRED) if (!(await has(path))) return false;
  for (const path of NEED_NOT_EXIST) {
    if (!(await has(path)) && !(await isAbsent(path))) return false;
  }
  if (await has('model.safetensors')) return true;
  const index = await readFile(join(folder, 'model.safetensors.index.json'), 'utf8').catch(
    () => '',
  );
  const shards = shardNames(index);
  if (shards === null) return false;
  for (const shard of shards) if (!(await has(shard))) return false;
  return true;
}
