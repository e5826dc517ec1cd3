import {
  appendFile,
  chmod,
  mkdtemp,
  open,
  rename,
  rm,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WeightFiles } from './weight-files.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'blip2-weights-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const made = async (name: string) => {
  const path = join(folder, name);
  await writeFile(path, 'as it was built');
  return path;
};

const overwrite = async (path: string) => {
  await using file = await open(path, 'r+');
  await file.write('X', 3);
};
const replace = async (path: string) => {
  await writeFile(`${path}.new`, 'something else, and longer');
  await rename(`${path}.new`, path);
};

describe('a file of weights that is served', () => {
  it.each<[string, (path: string) => Promise<void>]>([
    ['is written in place, of the same size', overwrite],
    ['is cut', (path) => truncate(path, 4)],
    ['grows', (path) => appendFile(path, '!')],
  ])('and %s is named', async (_what, change) => {
    const paths = [await made('sound.bin'), await made('changed.bin')];
    await using files = await WeightFiles.open(paths);
    expect(await files.changed()).toBeUndefined();
    await change(paths[1] as string);
    expect(await files.changed()).toBe(paths[1]);
    const heard = await new Promise((resolve) => files.watch(resolve, 1));
    expect(heard).toBe(paths[1]);
  });

  it.each<[string, (path: string) => Promise<void>]>([
    ['is replaced as a whole', replace],
    ['is removed', (path) => rm(path)],
    ['has other permissions', (path) => chmod(path, 0o444)],
  ])('and %s stays what it was', async (_what, change) => {
    const path = await made('whole.bin');
    await using files = await WeightFiles.open([path]);
    await change(path);
    expect(await files.changed()).toBeUndefined();
    await rm(path, { force: true });
  });

  it('is no longer watched once it is closed', async () => {
    const path = await made('closed.bin');
    const files = await WeightFiles.open([path]);
    let calls = 0;
    files.watch(() => calls++, 1);
    await files[Symbol.asyncDispose]();
    await overwrite(path);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(calls).toBe(0);
  });
});
