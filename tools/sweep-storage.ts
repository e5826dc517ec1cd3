/**
 * Removes what has expired from the local storage, while no workerd has it open. Miniflare itself deletes expired entries of KV
 * only when somebody lists, all at once with a request for each of their files, which stops workerd for seconds or has it killed
 * for its memory; those of the cache only when the same key is asked for again; and files whose row is gone never.
 */
import { opendir, readdir, unlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { entryDatabases } from './entry-databases.ts';

/** Below the storage, the folders whose entries expire. Each has databases in one folder, and one folder of blobs for each namespace. */
const KINDS = ['kv', 'cache'].map((kind) => join('v3', kind));
/** As miniflare names blobs: 32 random bytes, and the time when they were written in milliseconds, as 8 bytes. */
const BLOB = /^[0-9a-f]{80}$/;
const RANDOM_DIGITS = 64;
/** Digits of it that are remembered: 48 bits, exact in a number. */
const SHORT_DIGITS = 12;
/** A blob is written before its row: this long it may be one of another program with this storage, which has not come to the row. */
const YOUNG_MS = 60_000;
/** Rows of one transaction or files of a folder that are read without a pause, and files that are removed at the same time. */
const ROWS_AT_ONCE = 10_000;
const FILES_AT_ONCE = 64;
/** How long another program may have a database locked, and how often it is said how far this is. */
const LOCKED_MS = 2000;
const STATUS_MS = 1000;

export type Swept = { rows: number; files: number };

export type SweepOptions = {
  /** Gets a line for what could not be removed, which is no reason not to start. */
  report: (line: string) => void;
  /** Gets a line each second where it takes that long. */
  progress: (line: string) => void;
  /** Milliseconds since 1970. */
  now?: number;
  /** Removes a file. */
  remove?: (path: string) => Promise<void>;
};

/** @param folder of the local storage, whether it is there or not */
export async function sweepStorage(
  folder: string,
  { report, progress, now = Date.now(), remove = unlink }: SweepOptions,
): Promise<Swept> {
  const swept = { rows: 0, files: 0 };
  let saidAt = performance.now();
  const proceed = async () => {
    await turn();
    if (performance.now() - saidAt < STATUS_MS) return;
    saidAt = performance.now();
    const { rows, files } = swept;
    progress(`Cleaning the local storage: ${rows} expired entries, ${files} files removed …`);
  };
  const failures: string[] = [];
  for (const kind of KINDS) {
    const sweep = { folder: join(folder, kind), now, swept, proceed, remove };
    try {
      const named = await deleteExpired(sweep);
      const failed = await removeUnnamed(sweep, named);
      if (failed !== null) failures.push(failed);
    } catch (error) {
      // Also where one database of several cannot be read: the blobs that it names look like those that none does.
      failures.push((error as Error).message);
    }
  }
  if (failures.length > 0) {
    report(`Some of what has expired in the local storage stays there: ${failures.join('; ')}.`);
  }
  return swept;
}

/** Of one kind. */
type Sweep = {
  folder: string;
  now: number;
  swept: Swept;
  proceed: () => Promise<void>;
  remove: (path: string) => Promise<void>;
};

/** @returns blobs that rows still name, by `shortOf` */
async function deleteExpired({ folder, now, swept, proceed }: Sweep): Promise<ReadonlySet<number>> {
  const named = new Set<number>();
  for await (const database of entryDatabases(folder, { timeout: LOCKED_MS })) {
    const remove = database.prepare(`
      DELETE FROM _mf_entries WHERE rowid IN (SELECT rowid FROM _mf_entries WHERE expiration < ? LIMIT ${ROWS_AT_ONCE})`);
    for (;;) {
      const { changes } = remove.run(now);
      if (changes === 0) break;
      swept.rows += Number(changes);
      await proceed();
    }
    let read = 0;
    for (const { blob_id } of database.prepare('SELECT blob_id FROM _mf_entries').iterate()) {
      named.add(shortOf(String(blob_id)));
      if (++read % ROWS_AT_ONCE === 0) await proceed();
    }
  }
  return named;
}

/** @returns why some could not be removed; null where all could */
async function removeUnnamed(
  { folder, now, swept, proceed, remove }: Sweep,
  named: ReadonlySet<number>,
): Promise<string | null> {
  let [failed, reason] = [0, ''];
  let unnamed: string[] = [];
  let seen = 0;
  const removeAll = async () => {
    const results = await Promise.allSettled(unnamed.map(remove));
    for (const result of results) {
      if (result.status === 'fulfilled') {
        swept.files += 1;
      } else {
        failed += 1;
        reason = String(result.reason);
      }
    }
    unnamed = [];
    await proceed();
  };
  for (const path of await blobFolders(folder)) {
    await using entries = await opendir(path, { bufferSize: 1024 });
    // Not with a promise for each, which takes longer than all else where nothing is to be removed.
    for (let entry = entries.readSync(); entry !== null; entry = entries.readSync()) {
      const { name } = entry;
      if (++seen % ROWS_AT_ONCE === 0) await proceed();
      if (!entry.isFile() || !BLOB.test(name) || named.has(shortOf(name))) continue;
      if (writtenAt(name) > now - YOUNG_MS) continue;
      unnamed.push(join(path, name));
      if (unnamed.length === FILES_AT_ONCE) await removeAll();
    }
  }
  await removeAll();
  return failed === 0 ? null : `${failed} files in ${folder} (${reason})`;
}

/** Folders themselves: nothing that a link leads to. */
async function blobFolders(kind: string): Promise<string[]> {
  const namespaces = await foldersIn(kind);
  const inside = await Promise.all(namespaces.map(foldersIn));
  return inside.flat().filter((path) => basename(path) === 'blobs');
}

async function foldersIn(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch((error) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(path, name));
}

/** Some of a blob's random bits, a tenth of the memory of its name. Where two have the same, which is rare, one too many is left. */
function shortOf(blob: string): number {
  return Number.parseInt(blob.slice(0, SHORT_DIGITS), 16);
}

function writtenAt(blob: string): number {
  return Number.parseInt(blob.slice(RANDOM_DIGITS), 16);
}
