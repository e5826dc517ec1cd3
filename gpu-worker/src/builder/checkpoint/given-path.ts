/** What a path of a checkpoint is: its folder, or one file of weights in it. */
import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { CheckpointError } from '../errors.ts';

/** `only`: the file that was given. */
export type GivenPath = { folder: string; only: string | null };

/** Files of which nobody could make weights alone, and what they are. */
const PARTS: readonly (readonly [RegExp, string])[] = [
  [/-\d+-of-\d+\.\w+$/, 'one of several shards'],
  [/^adapter_model\./, 'an adapter'],
  [/\.(json|txt|model|md|jinja)$/i, 'no file of weights'],
];

/** @throws CheckpointError where the file says little without its folder */
export async function readGivenPath(path: string): Promise<GivenPath> {
  const found = await stat(path).catch(() => null);
  if (!found?.isFile()) return { folder: path, only: null };
  const [folder, only] = [dirname(path), basename(path)];
  const part = PARTS.find(([pattern]) => pattern.test(only));
  if (part === undefined) return { folder, only };
  throw new CheckpointError(`${path} is ${part[1]}: give its folder, ${folder}.`);
}
