/**
 * Opens files that somebody else has made, such as those of a checkpoint: regular ones that lie in their own folder. A FIFO
 * or a device would never end, and a link to a file elsewhere would carry that into a bundle.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { explained, FileError, isAbsent, isWithin, naming } from './file-errors.ts';
import { QFORMER_TOKENIZER } from './qformer-tokenizer-files.ts';

/** Of files that are read as a whole: known configs have some kilobytes, indexes of shards a megabyte. */
const MAX_BYTES = 16 << 20;

/**
 * The file, open for reading. Links are followed within its folder, and from a snapshot of Hugging Face's cache to the blobs of
 * the same model.
 * @throws FileError when it is no regular file, a link to one elsewhere, or cannot be opened
 */
export async function openRegular(path: string): Promise<FileHandle> {
  return await explained(() => openWithin(path));
}

async function openWithin(path: string): Promise<FileHandle> {
  const real = await realPathOf(path);
  // Opening a device can do something already.
  expectRegular(path, await stat(real));
  // What came into its place since then neither keeps us waiting nor leads elsewhere.
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;
  const file = await naming(path, () => open(real, flags));
  try {
    expectRegular(path, await file.stat());
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** All bytes of a file. @throws FileError as `openRegular`, and when it has more than `maxBytes` */
export async function readRegular(path: string, maxBytes = MAX_BYTES): Promise<Buffer> {
  await using file = await openRegular(path);
  const { size } = await file.stat();
  if (size > maxBytes) {
    throw new FileError(
      `${path} has ${size} bytes, and such a file has ${maxBytes} at most: download it again, or remove it.`,
    );
  }
  return await explained(() => naming(path, () => file.readFile()));
}

/** The text of a file, in UTF-8. @throws as `readRegular` */
export async function readText(path: string, maxBytes = MAX_BYTES): Promise<string> {
  return (await readRegular(path, maxBytes)).toString('utf8');
}

/** Bytes of a file that is written piece by piece, 0 where there is none. @throws FileError when it is something else, or a link */
export async function sizeOfDraft(path: string): Promise<number> {
  const found = await lstat(path).catch((error) => {
    if (isAbsent(error)) return null;
    throw error;
  });
  if (found === null) return 0;
  expectRegular(path, found);
  return found.size;
}

/**
 * The descriptor of the file, made where there is none, open for writing at its end or from its beginning. At once: what is to
 * be written is arriving.
 * @throws FileError as `sizeOfDraft`
 */
export function openDraft(path: string, from: 'beginning' | 'end'): number {
  const present = lstatSync(path, { throwIfNoEntry: false });
  if (present !== undefined) expectRegular(path, present);
  const { O_WRONLY, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_TRUNC, O_APPEND } = constants;
  const start = from === 'end' ? O_APPEND : O_TRUNC;
  // What came into its place since then neither keeps us waiting nor leads elsewhere.
  const file = openSync(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | start, 0o666);
  try {
    expectRegular(path, fstatSync(file));
    return file;
  } catch (error) {
    closeSync(file);
    throw error;
  }
}

/** Puts a text in the place of a file or of anything else but a folder, so that nobody ever reads a part of it. */
export async function replaceText(path: string, text: string): Promise<void> {
  const draft = `${path}.${process.pid}.tmp`;
  await rm(draft, { force: true });
  await naming(draft, async () => {
    await using file = await open(draft, 'wx');
    await file.writeFile(text);
  });
  await rename(draft, path);
}

async function realPathOf(path: string): Promise<string> {
  const real = await realpath(path);
  const folder = await realpath(folderOf(path));
  if (isWithin(real, folder)) return real;
  const [, model] = SNAPSHOT.exec(folder) ?? [];
  if (model !== undefined && isWithin(real, join(model, 'blobs'))) return real;
  throw new FileError(
    `${path} is a link to ${real}, outside of its folder, and is not followed: put a copy of the file there (cp -L), if it belongs there.`,
  );
}

/** Of huggingface_hub: the folder of a model, and in it that of a commit, whose files are links to blobs. */
const SNAPSHOT = /^(.*[/\\]models--[^/\\]+)[/\\]snapshots[/\\][^/\\]+(?:[/\\]|$)/;

/** Of the whole checkpoint or bundle. */
function folderOf(path: string): string {
  const folder = dirname(path);
  return basename(folder) === QFORMER_TOKENIZER ? dirname(folder) : folder;
}

function expectRegular(path: string, found: Stats): void {
  if (found.isFile()) return;
  throw new FileError(
    `${path} is ${kindOf(found)}, not a file: put the file in its place, or remove it.`,
  );
}

function kindOf(found: Stats): string {
  if (found.isDirectory()) return 'a folder';
  if (found.isSymbolicLink()) return 'a link';
  if (found.isFIFO()) return 'a pipe (FIFO)';
  if (found.isSocket()) return 'a socket';
  return 'a device';
}
