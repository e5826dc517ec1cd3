/** The output has the order of the input, whichever file of whichever batch a line is in. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { mergedLines } from './batch-output.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'output-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, ids: readonly string[]): Promise<string | null> {
  if (ids.length === 0) return null;
  const path = join(folder, name);
  await writeFile(path, ids.map((custom_id) => `${JSON.stringify({ custom_id })}\n`).join(''));
  return path;
}

it('goes from file to file', async () => {
  const order = 'abcdefg'.split('').map((id) => ({ id, url: 'bf'.includes(id) ? '/y' : '/x' }));
  const batches = [
    { url: '/x', output: await file('1', ['a', 'd']), errors: await file('2', ['c']) },
    { url: '/y', output: await file('3', []), errors: await file('4', ['b', 'f']) },
    { url: '/x', output: await file('5', ['e', 'g']), errors: await file('6', []) },
  ];
  const lines = await Array.fromAsync(mergedLines({ order }, batches));
  expect(lines.map(({ text }) => JSON.parse(text).custom_id).join('')).toBe('abcdefg');
  expect(lines.map(({ isFailed }) => Number(isFailed)).join('')).toBe('0110010');
});

it('says so where a line has none', async () => {
  const order = ['a', 'b', 'c'].map((id) => ({ id, url: '/x' }));
  const batches = [{ url: '/x', output: await file('7', ['a', 'c']), errors: null }];
  const merged = Array.fromAsync(mergedLines({ order }, batches));
  await expect(merged).rejects.toThrow('The service wrote no line for "b".');
});
