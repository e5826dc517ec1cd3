/** What a folder of the cache lacks of a checkpoint: other libraries pull only the files that they need. */

import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { QFORMER_TOKENIZER_FILES } from '../qformer-tokenizer-files.ts';
import { readText } from '../regular-file.ts';
import {
  hasQFormerTokenizer,
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

const SECOND_TOKENIZER = "its Q-Former's tokenizer (qformer_tokenizer/)";

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
  const entries = await readdir(folder).catch(() => []);
  for (const name of [...entries, ...QFORMER_TOKENIZER_FILES]) {
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
    const shards = shardNames(await readText(join(folder, own)));
    needed.push(...(shards?.filter((shard) => !names.includes(shard)) ?? [own]));
  }
  const isInstruct = await isInstructBlip(folder);
  const unknown: string[] = [];
  for (const path of names.includes(WHOLE) ? [] : maybeAbsent(weights, isInstruct)) {
    if (!names.includes(path) && !(await isAbsent(path))) unknown.push(path);
  }
  const isSecondThere = hasQFormerTokenizer(names) || !hasQFormerTokenizer(unknown);
  if (isTokenizerNeeded && isInstruct && !isSecondThere) needed.push(SECOND_TOKENIZER);
  // Of images nothing is known without one of the two.
  if (!isAlone && PROCESSORS.every((path) => unknown.includes(path))) needed.push(PROCESSORS[0]);
  return { needed, unknown };
}

const InstructBlip = z.object({ model_type: z.literal('instructblip') });

/** @param folder whose config says so; false where there is none that can be read */
export async function isInstructBlip(folder: string): Promise<boolean> {
  const text = await readText(join(folder, 'config.json')).catch(() => '');
  try {
    return InstructBlip.safeParse(JSON.parse(text)).success;
  } catch {
    return false;
  }
}
