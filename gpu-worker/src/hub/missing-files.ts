/** What a folder of the cache lacks of a checkpoint: other libraries pull only the files that they need. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  hasTokenizer,
  hasTokenizerOfBase,
  isAdapterAlone,
  isShardIndex,
  maybeAbsent,
  PROCESSORS,
  shardNames,
  weightsIn,
} from './weight-names.ts';

export type Missing = {
  /** What no bundle can be made without. */
  needed: string[];
  /** Files that the repository may have and that would be read. */
  unknown: string[];
};

/** A file that every repository has, and that is pulled only with all others. */
const WHOLE = '.gitattributes';

/**
 * @param isAbsent whether the repository is known not to have a file
 * @param isTokenizerNeeded whether one must be there
 */
export async function missingIn(
  folder: string,
  isAbsent: (path: string) => Promise<boolean>,
  isTokenizerNeeded: boolean,
): Promise<Missing> {
  const names: string[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    // Follows links: one into nothing is no file.
    const found = await stat(join(folder, name)).catch(() => null);
    if (found?.isFile()) names.push(name);
  }
  const weights = weightsIn(names);
  const { own, isOther } = weights;
  const isAlone = isAdapterAlone(weights);
  const needed: string[] = [];
  if (own === undefined && !isAlone) needed.push('its weights');
  if (!isAlone && !isOther && !names.includes('config.json')) needed.push('config.json');
  const isTokenizerThere = hasTokenizer(names) || hasTokenizerOfBase(weights, names);
  if (isTokenizerNeeded && !isTokenizerThere) needed.push('its tokenizer');
  if (own !== undefined && isShardIndex(own)) {
    const shards = shardNames(await readFile(join(folder, own), 'utf8'));
    needed.push(...(shards?.filter((shard) => !names.includes(shard)) ?? [own]));
  }
  const unknown: string[] = [];
  for (const path of names.includes(WHOLE) ? [] : maybeAbsent(weights)) {
    if (!names.includes(path) && !(await isAbsent(path))) unknown.push(path);
  }
  // Of images nothing is known without one of the two.
  if (!isAlone && PROCESSORS.every((path) => unknown.includes(path))) needed.push(PROCESSORS[0]);
  return { needed, unknown };
}
