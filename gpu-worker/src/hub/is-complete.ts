/** Whether a folder of the cache holds all of a checkpoint: other libraries pull only the files that they need. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  hasTokenizer,
  hasTokenizerOfBase,
  isAdapterAlone,
  isShardIndex,
  maybeAbsent,
  shardNames,
  weightsIn,
} from './weight-names.ts';

/** @param isAbsent whether the repository is known not to have a file */
export async function isComplete(
  folder: string,
  isAbsent: (path: string) => Promise<boolean>,
): Promise<boolean> {
  const names: string[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    // Follows links: one into nothing is no file.
    const found = await stat(join(folder, name)).catch(() => null);
    if (found?.isFile()) names.push(name);
  }
  const weights = weightsIn(names);
  const { own, isOther } = weights;
  const isAlone = isAdapterAlone(weights);
  if (own === undefined && !isAlone) return false;
  if (!isAlone && !isOther && !names.includes('config.json')) return false;
  if (!hasTokenizer(names) && !hasTokenizerOfBase(weights, names)) return false;
  if (await lacksQFormerTokenizer(folder)) return false;
  for (const path of maybeAbsent(weights)) {
    if (!names.includes(path) && !(await isAbsent(path))) return false;
  }
  if (own === undefined || !isShardIndex(own)) return true;
  const shards = shardNames(await readFile(join(folder, own), 'utf8'));
  return shards?.every((shard) => names.includes(shard)) ?? false;
}

/** InstructBLIP has a second tokenizer, in a folder of its own. */
async function lacksQFormerTokenizer(folder: string): Promise<boolean> {
  const config = await readFile(join(folder, 'config.json'), 'utf8').catch(() => '');
  if (!/"model_type":\s*"instructblip"/.test(config)) return false;
  const names = await readdir(join(folder, 'qformer_tokenizer')).catch(() => []);
  return !hasTokenizer(names);
}
