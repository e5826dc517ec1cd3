/** Says of an error of the file system which file it is about, what was wanted of it, and what to do. */
import { statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, resolve, sep } from 'node:path';

/** A file or folder is not what is wanted, or cannot be used; the message is for people. */
export class FileError extends Error {
  override readonly name = 'FileError';
  /** Of the error of the system, where there was one. */
  readonly code: string | undefined;

  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.code = (cause as NodeJS.ErrnoException | undefined)?.code;
  }
}

/** What is behind a code, and the remedy. */
const CODES: Readonly<Record<string, readonly [why: string, remedy: string]>> = {
  EACCES: ['permission is denied', 'Let the user of this process use it (chown, chmod).'],
  EPERM: ['permission is denied', 'Let the user of this process use it (chown, chmod).'],
  EROFS: ['its file system is read-only', 'Mount it for writing, or choose another place.'],
  ENOSPC: ['the disk is full', 'Free some space, or choose another place.'],
  EDQUOT: ['the quota of the disk is used up', 'Free some space, or choose another place.'],
  EFBIG: ['it is larger than this process may write', 'Raise the limit (ulimit -f).'],
  ENAMETOOLONG: ['its name is too long', 'Choose a shorter name or path.'],
  ELOOP: ['its links lead in a circle', 'Put the file itself there.'],
  EMFILE: ['this process has too many files open', 'Raise the limit (ulimit -n).'],
  ENFILE: ['this machine has too many files open', 'Raise the limit (sysctl fs.file-max).'],
  EISDIR: ['it is a folder', 'Put a file in its place, or remove it.'],
  ENOTDIR: ['a part of its path is no folder', 'Put a folder in its place, or remove it.'],
  ENOENT: ['it is not there', 'Put it there, or look whether something removes it.'],
  ENXIO: ['it is no file', 'Put a file in its place, or remove it.'],
  EBUSY: ['something else uses it', 'End that, and try again.'],
  EIO: ['the disk fails', 'Check the disk, or use another.'],
  ESTALE: ['its network file system has lost it', 'Mount that again.'],
};

/** What was wanted of a file, by the call of the system that fails. */
const WANTED: Readonly<Record<string, string>> = {
  write: 'written',
  writev: 'written',
  fsync: 'written to the disk',
  read: 'read',
  mkdir: 'made',
  mkdtemp: 'made',
  scandir: 'listed',
  opendir: 'listed',
  stat: 'looked at',
  lstat: 'looked at',
  fstat: 'looked at',
  statfs: 'measured',
  realpath: 'looked at',
  readlink: 'looked at',
  rename: 'renamed',
  unlink: 'removed',
  rmdir: 'removed',
  rm: 'removed',
  link: 'linked',
  symlink: 'linked',
  chmod: 'made read-only',
};

/** Whether an error says that there is no such file. */
export function isAbsent(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** Whether an error says that no more can be written to a disk. */
export function isFullDisk(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/**
 * Runs what works on one file: Node names it in errors of paths, and not in those of what is open already.
 * @example await naming(path, () => writeFile(path, text))
 */
export async function naming<T>(path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (isOfFiles(error)) error.path ??= path;
    throw error;
  }
}

/** Runs something of whose files nothing else is said. @throws FileError for each error of the file system */
export async function explained<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    const why = error instanceof FileError ? null : await explainFileError(error);
    throw why === null ? error : new FileError(why, error);
  }
}

/** `advice`: what to do about files in `folder`, as another sentence. */
export type Place = { folder: string; advice: string };

/**
 * What an error of the file system means; null for any other error.
 * @param places folders that a setting chooses
 */
export async function explainFileError(
  error: unknown,
  places: readonly Place[] = [],
): Promise<string | null> {
  if (error instanceof FileError) return error.message;
  if (!isOfFiles(error)) return null;
  const { syscall = '' } = error;
  // Node's own checks have names of their own.
  const code = error.code?.replace(/^ERR_FS_/, '') ?? '';
  const dest = 'dest' in error ? String(error.dest) : undefined;
  const path = resolve(error.path ?? places[0]?.folder ?? '.');
  const wanted = `${WANTED[syscall] ?? 'opened'}${dest === undefined ? '' : ` to ${dest}`}`;
  const [why, remedy] = CODES[code] ?? [error.message, ''];
  const free = isFullDisk(error) ? ` (${await freeMegabytes(path)} MB are free)` : '';
  const settings = [
    ...places,
    { folder: tmpdir(), advice: 'TMPDIR chooses another place for temporary files.' },
  ];
  const advice = settings.find(({ folder }) => isWithin(path, resolve(folder)))?.advice ?? '';
  return `${path} cannot be ${wanted}: ${why}${free}${CODES[code] ? ` (${code})` : ''}. ${remedy} ${advice}`.trimEnd();
}

/** Why, in a few words. @example 'permission is denied (EACCES)' */
export function reasonOf(error: NodeJS.ErrnoException): string {
  const { code = '' } = error;
  const known = CODES[code];
  return known === undefined ? error.message : `${known[0]} (${code})`;
}

/** Whether a path is a folder or lies in it; both are absolute. */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}

function isOfFiles(error: unknown): error is NodeJS.ErrnoException {
  if (!(error instanceof Error) || !('syscall' in error && 'code' in error)) return false;
  // Those of sockets have calls of the same names.
  return 'path' in error || String(error.code) in CODES;
}

async function freeMegabytes(path: string): Promise<number> {
  for (let at = path; ; at = dirname(at)) {
    const disk = await statfs(at).catch(() => null);
    if (disk !== null) return Math.floor((disk.bavail * disk.bsize) / 1e6);
    if (dirname(at) === at) return 0;
  }
}
