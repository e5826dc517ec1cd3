/** Finds databases of the local storage that cannot be read any more: workerd ends where one is, and does not say which. */
import { access, glob, rename, rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** Where Cloudflare's tools have the storage, below the folder that they are given. */
const VERSION = 'v3';
const CACHE = join(VERSION, 'cache');
const ASIDE = 'damaged-cache';
/** As `SQLITE_CORRUPT` and `SQLITE_NOTADB` are numbered; any other error is not of the file itself. */
const DAMAGED = new Set([11, 26]);

/** What is lost with a database, by its folder. */
const CONTENTS: Record<string, string> = {
  kv: 'cached embeddings, or the keys that "npm run keys" made without --remote',
  do: 'jobs, predictions, replies stored under an Idempotency-Key, or what callers have used of their limits',
  r2: 'what is known of uploaded files, and of lines and results of jobs',
};

/**
 * Moves a cache that is damaged aside, as nothing is lost with it.
 * @param folder of the local storage, whether it is there or not
 * @param report gets a line when the cache was moved
 * @throws Error that names what else is damaged, and how to go on without it
 */
export async function expectSoundState(
  folder: string,
  report: (line: string) => void,
): Promise<void> {
  const damaged: string[] = [];
  // Blobs are files of one folder, hundreds of thousands of them in a cache that is full: a walk through them takes seconds.
  const found = glob(join(VERSION, '**/*.sqlite'), { cwd: folder, exclude: ['**/blobs'] });
  for await (const path of found) {
    if (isDamaged(join(folder, path))) damaged.push(path);
  }
  const isCache = (path: string) => path.startsWith(join(CACHE, '/'));
  if (damaged.some(isCache)) {
    const aside = join(folder, ASIDE);
    await rm(aside, { recursive: true, force: true });
    await rename(join(folder, CACHE), aside);
    report(`The local cache was damaged: it was moved to ${aside}, and is filled anew.`);
  }
  const lost = damaged.filter((path) => !isCache(path));
  if (lost.length > 0) throw new Error(await adviceOn(folder, lost));
}

function isDamaged(path: string): boolean {
  try {
    const database = new DatabaseSync(path, { readOnly: true });
    try {
      database.prepare('SELECT COUNT(*) FROM sqlite_schema').get();
    } finally {
      database.close();
    }
    return false;
  } catch (error) {
    return DAMAGED.has((error as { errcode?: number }).errcode ?? 0);
  }
}

async function adviceOn(folder: string, paths: readonly string[]): Promise<string> {
  const files: string[] = [];
  for (const path of paths) {
    for (const name of [path, `${path}-wal`, `${path}-shm`]) {
      const isThere = await access(join(folder, name)).then(
        () => true,
        () => false,
      );
      if (isThere) files.push(join(folder, name));
    }
  }
  const kinds = new Set(paths.map((path) => relative(VERSION, path).split(/[\\/]/)[0] ?? ''));
  const contents = [...kinds].map((kind) => CONTENTS[kind] ?? 'what was stored there');
  return [
    'The local storage is damaged. These are no SQLite databases any more:',
    ...paths.map((path) => `  ${join(folder, path)}`),
    'Put them back from a backup, or delete them:',
    `  rm ${files.map((name) => `'${name}'`).join(' ')}`,
    `With them is lost: ${contents.join('; ')}.`,
    `Or delete all local storage, with keys, jobs and files: rm -r '${folder}'`,
  ].join('\n');
}
