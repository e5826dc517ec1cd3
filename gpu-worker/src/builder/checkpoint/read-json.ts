/** JSON files of a checkpoint. */
import { readFile } from 'node:fs/promises';
import { CheckpointError } from '../errors.ts';

/**
 * A file's JSON; `absent` where there is no such file.
 * @throws CheckpointError naming the file when it is no JSON, or cannot be read and `absent` is left out
 */
export async function readJson(path: string, absent?: unknown): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (absent !== undefined) return absent;
    throw new CheckpointError(`${path} cannot be read.`, { cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CheckpointError(`${path} is not JSON.`, { cause });
  }
}
