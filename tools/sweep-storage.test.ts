/** Databases and blobs as miniflare makes them, by hand; `expire-entries.test.ts` has those of a Worker that served. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { access, mkdir, open, readdir, symlink, unlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../test/support/temporary-folder.ts';
import { sweepStorage } from './sweep-storage.ts';

/** How a blob begins that cannot be removed: the tests' own user may remove everything. */
const STUCK = 'deadbeef';

const state = temporaryFolder('test');
const NOW = 1_800_000_000_000;
const OLD = NOW - 3_600_000;
const databaseOf = (kind: string) => join(state, 'v3', kind, 'objects/a.sqlite');
const blobsOf = (kind: string) => join(state, 'v3', kind, 'namespace/blobs');

type Entry = { expiration: number | null; writtenAt?: number; start?: string };

function writeBlob(folder: string, { writtenAt = OLD, start = '' }: Partial<Entry> = {}): string {
  const time = writtenAt.toString(16).padStart(16, '0');
  const name = `${start}${randomBytes(32).toString('hex').slice(start.length)}${time}`;
  // Thousands of them, one after the other.
  writeFileSync(join(folder, name), 'a value');
  return name;
}

/** @returns names of their blobs */
async function fill(kind: string, entries: readonly Entry[]): Promise<string[]> {
  await mkdir(dirname(databaseOf(kind)), { recursive: true });
  await mkdir(blobsOf(kind), { recursive: true });
  using database = new DatabaseSync(databaseOf(kind));
  database.exec(`
    PRAGMA journal_mode = wal;
    CREATE TABLE IF NOT EXISTS _mf_entries (key TEXT PRIMARY KEY, blob_id TEXT NOT NULL, expiration INTEGER, metadata TEXT);
    CREATE INDEX IF NOT EXISTS _mf_entries_expiration_idx ON _mf_entries(expiration);
    BEGIN`);
  const insert = database.prepare('INSERT INTO _mf_entries VALUES (?, ?, ?, NULL)');
  const names: string[] = [];
  for (const entry of entries) {
    const name = writeBlob(blobsOf(kind), entry);
    insert.run(name, name, entry.expiration);
    names.push(name);
  }
  database.exec('COMMIT');
  return names;
}

function rowsOf(kind: string): unknown[] {
  using database = new DatabaseSync(databaseOf(kind), { readOnly: true });
  return database
    .prepare('SELECT key FROM _mf_entries')
    .all()
    .map(({ key }) => key);
}

async function sweep(remove: (path: string) => Promise<void> = unlink) {
  const lines: string[] = [];
  const swept = await sweepStorage(state, {
    report: (line) => lines.push(line),
    progress: () => {},
    now: NOW,
    remove,
  });
  return { ...swept, lines };
}

it.each(['kv', 'cache'])('thousands of expired entries of %s go with their blobs', async (kind) => {
  const expired = Array.from({ length: 12_000 }, () => ({ expiration: NOW - 1 }));
  await fill(kind, expired);
  const left = await fill(kind, [{ expiration: null }, { expiration: NOW }]);
  expect(await sweep()).toEqual({ rows: 12_000, files: 12_000, lines: [] });
  expect(rowsOf(kind).sort()).toEqual(left.sort());
  expect((await readdir(blobsOf(kind))).sort()).toEqual(left.sort());
});

it('blobs that no row names go, unless their row may be on its way', async () => {
  const left = await fill('kv', [{ expiration: null }]);
  const blobs = blobsOf('kv');
  for (let i = 0; i < 100; i++) writeBlob(blobs);
  const young = writeBlob(blobs, { writtenAt: NOW - 1000 });
  expect(await sweep()).toEqual({ rows: 0, files: 100, lines: [] });
  expect((await readdir(blobs)).sort()).toEqual([...left, young].sort());
});

it('nothing else is removed: other files, folders, what links lead to', async () => {
  await fill('kv', []);
  const blobs = blobsOf('kv');
  const outside = join(state, 'outside');
  await mkdir(outside);
  await mkdir(join(state, 'v3/kv/linked'));
  await symlink(outside, join(state, 'v3/kv/linked/blobs'));
  const name = writeBlob(outside);
  await symlink(join(outside, name), join(blobs, name));
  const beside = writeBlob(dirname(blobs));
  await mkdir(join(blobs, 'a'.repeat(64).concat(name.slice(64))));
  await writeFile(join(blobs, 'notes.txt'), 'mine');
  expect(await sweep()).toEqual({ rows: 0, files: 0, lines: [] });
  await access(join(outside, name));
  await access(join(dirname(blobs), beside));
  expect(await readdir(blobs)).toHaveLength(3);
});

it('a blob that cannot be removed is one line, and the others go', async () => {
  const entries = [{ expiration: OLD, start: STUCK }, { expiration: OLD }, { expiration: OLD }];
  const [stuck] = await fill('kv', entries);
  const { lines, ...swept } = await sweep(async (path) => {
    if (path.includes(STUCK)) throw new Error('EPERM: operation not permitted');
    await unlink(path);
  });
  expect(swept).toEqual({ rows: 3, files: 2 });
  expect(lines).toEqual([expect.stringMatching(/stays there: 1 files in .*kv .*EPERM/)]);
  expect(await readdir(blobsOf('kv'))).toEqual([stuck]);
});

it('where a database cannot be read, blobs stay, since it may name them', async () => {
  const entries = Array.from({ length: 200 }, () => ({ expiration: null }));
  await fill('kv', entries);
  await fill('cache', [{ expiration: OLD }]);
  const file = await open(databaseOf('kv'), 'r+');
  // Behind the schema, which is sound.
  await file.write(Buffer.alloc(20_000, 0x5a), 0, 20_000, 4096);
  await file.close();
  const { lines, ...swept } = await sweep();
  expect(swept).toEqual({ rows: 1, files: 1 });
  expect(lines).toEqual([expect.stringContaining('malformed')]);
  expect(await readdir(blobsOf('kv'))).toHaveLength(200);
});

it('no storage is nothing to sweep', async () => {
  expect(await sweep()).toEqual({ rows: 0, files: 0, lines: [] });
});
