/** JSON files of a checkpoint. */
import { explainFileError, isAbsent } from '../../file-errors.ts';
import { readText } from '../../regular-file.ts';
import { CheckpointError } from '../errors.ts';

/** Levels of a file's values: what reads them calls itself for each, and known files have a dozen. */
const MOST_LEVELS = 100;

/**
 * A file's JSON; `absent` where there is no such file.
 * @throws CheckpointError naming the file when it cannot be read, is no JSON, or is nested too deeply
 */
export async function readJson(
  path: string,
  absent?: unknown,
  maxBytes?: number,
): Promise<unknown> {
  let text: string;
  try {
    text = await readText(path, maxBytes);
  } catch (cause) {
    if (absent !== undefined && isAbsent(cause)) return absent;
    throw new CheckpointError((await explainFileError(cause)) ?? `${path} cannot be read.`, {
      cause,
    });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new CheckpointError(`${path} is not JSON.`, { cause });
  }
  if (hasMoreLevels(value, MOST_LEVELS)) {
    throw new CheckpointError(`${path} has values nested more than ${MOST_LEVELS} deep.`);
  }
  return value;
}

function hasMoreLevels(value: unknown, most: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return most === 0 || Object.values(value).some((inner) => hasMoreLevels(inner, most - 1));
}
