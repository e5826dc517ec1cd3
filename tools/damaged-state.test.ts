/** Databases as workerd leaves them, damaged. */
import { cp, mkdir, open, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../test/support/temporary-folder.ts';
import { expectSoundState } from './damaged-state.ts';

const folder = temporaryFolder();
const KINDS = ['cache', 'kv', 'do', 'r2'];
const pathOf = (state: string, kind: string) => join(state, `v3/${kind}/objects/a.sqlite`);

/** One database of each kind, as it is while somebody has it open. */
async function stateIn(name: string): Promise<string> {
  const state = join(folder, name);
  for (const kind of KINDS) {
    const made = pathOf(join(folder, `${name}-made`), kind);
    await mkdir(dirname(made), { recursive: true });
    const database = new DatabaseSync(made);
    database.exec('PRAGMA journal_mode = wal; CREATE TABLE t (x); PRAGMA wal_checkpoint(TRUNCATE)');
    // While it is open, all of its files are there.
    await cp(dirname(made), dirname(pathOf(state, kind)), { recursive: true });
    database.close();
  }
  return state;
}

async function damage(path: string): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(Buffer.alloc(100, 0x5a), 0, 100, 0);
  await file.close();
}

const lines: string[] = [];
const look = async (state: string) => {
  lines.length = 0;
  await expectSoundState(state, (line) => lines.push(line));
};

it('sound storage, and none, is left as it is', async () => {
  const state = await stateIn('sound');
  await writeFile(join(state, 'v3/kv/empty.sqlite'), '');
  await look(state);
  await look(join(folder, 'none'));
  expect(lines).toEqual([]);
});

it('no database is looked for among the blobs, of which there may be very many', async () => {
  const state = await stateIn('blobs');
  const blobs = join(state, 'v3/kv/namespace/blobs');
  await mkdir(blobs, { recursive: true });
  await writeFile(join(blobs, 'a.sqlite'), 'a value that is no database at all'.repeat(100));
  await look(state);
  expect(lines).toEqual([]);
});

it('a damaged cache is moved aside', async () => {
  const state = await stateIn('cache');
  for (let times = 0; times < 2; times++) {
    await damage(pathOf(state, 'cache'));
    await look(state);
    expect(lines).toEqual([expect.stringContaining('damaged-cache')]);
    expect(await readdir(join(state, 'v3'))).not.toContain('cache');
    await look(state);
    expect(lines).toEqual([]);
    await cp(join(state, 'damaged-cache'), join(state, 'v3/cache'), { recursive: true });
  }
});

it.each([
  ['kv', 'npm run keys'],
  ['do', 'jobs'],
  ['r2', 'files'],
])('a damaged database in %s is named, with what is lost with it', async (kind, lost) => {
  const state = await stateIn(kind);
  const path = pathOf(state, kind);
  await damage(path);
  const error = await look(state).catch(({ message }: Error) => message);
  expect(error).toContain(`no SQLite databases any more:\n  ${path}\n`);
  expect(error).toContain(`rm '${path}' '${path}-wal' '${path}-shm'`);
  expect(error).toContain(lost);
  expect(error).toContain(`rm -r '${state}'`);
});
