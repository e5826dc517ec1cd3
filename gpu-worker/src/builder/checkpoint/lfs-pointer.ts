/** Pointers of git-LFS, which a clone without LFS leaves where the files should be. */
import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isAbsent } from '../../file-errors.ts';
import { openRegular } from '../../regular-file.ts';
import { CheckpointError } from '../errors.ts';

const START = 'version https://git-lfs.github.com/spec/';
/** The specification's limit. */
const MAX_POINTER_BYTES = 1024;

/**
 * @param files names of files in the folder
 * @throws CheckpointError naming the pointers among them, or what is no file at all, and what to do
 */
export async function expectNoPointers(folder: string, files: readonly string[]): Promise<void> {
  const pointers: string[] = [];
  for (const file of files) {
    await expectFile(join(folder, file));
    if (await isLfsPointer(join(folder, file))) pointers.push(file);
  }
  if (pointers.length === 0) return;
  const [are, them] =
    pointers.length === 1
      ? ['is a pointer of git-LFS', 'not the file itself']
      : ['are pointers of git-LFS', 'not the files themselves'];
  throw new CheckpointError(
    `${listed(pointers)} ${are}, ${them}: run "git lfs install && git lfs pull" in ${folder}, or download the checkpoint again.`,
  );
}

/** A cache of which some was deleted holds links to what is gone. */
async function expectFile(path: string): Promise<void> {
  const found = await stat(path).catch((error: unknown) => {
    if (isAbsent(error)) return null;
    throw error;
  });
  // An editor's lock is a link to nothing too, and nobody reads it.
  if (found === null && !basename(path).startsWith('.')) {
    throw new CheckpointError(
      `${path} is a link to a file that is gone: download the checkpoint again.`,
    );
  }
}

export async function isLfsPointer(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  if (found === null || !found.isFile() || found.size > MAX_POINTER_BYTES) return false;
  await using file = await openRegular(path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(START.length), 0, START.length, 0);
  return buffer.subarray(0, bytesRead).toString('latin1') === START;
}

function listed(names: readonly string[]): string {
  const more = names.length > 3 ? ` and ${names.length - 3} more` : '';
  return `${names.slice(0, 3).join(', ')}${more}`;
}
