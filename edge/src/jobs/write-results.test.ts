/** Results are put into the bucket once, whoever else does the same at the same time. */
import { expect, test } from 'vitest';
import { bucket } from '../testing/jobs.ts';
import { writeResults } from './write-results.ts';

type Amount = { lines: number; bytes: number };

/** Results of so many items, of the sizes that embeddings have. */
function table(items: number, characters = 1000) {
  const line = (item: number) =>
    JSON.stringify({ item, body: 'é'.repeat((item * 997) % characters) });
  const bytes = (text: string) => new TextEncoder().encode(`${text}\n`).length;
  const most = { lines: 0, bytes: 0 };
  return {
    lines: () => Array.from({ length: items }, (_, item) => line(item)),
    /** In one go. */
    most,
    resultBytes: () =>
      Array.from({ length: items }, (_, i) => bytes(line(i))).reduce((a, b) => a + b, 0),
    results: (from: number, amount: Amount) => {
      const rows: { item: number; line: string }[] = [];
      let read = 0;
      for (let item = from; item < items && rows.length < amount.lines; item++) {
        const size = bytes(line(item));
        if (rows.length > 0 && read + size > amount.bytes) break;
        rows.push({ item, line: line(item) });
        read += size;
      }
      most.lines = Math.max(most.lines, rows.length);
      most.bytes = Math.max(most.bytes, read);
      return { rows, isCut: from + rows.length < items };
    },
  };
}

test('ten who write at a time put one object, whole', async () => {
  const key = `written/${crypto.randomUUID()}`;
  const results = table(2500);
  await Promise.all(Array.from({ length: 10 }, () => writeResults(bucket, key, results)));
  const object = await bucket.get(key);
  expect((await object?.text())?.split('\n').slice(0, -1)).toEqual(results.lines());
  // Never all of them in memory.
  expect(results.most.lines).toBeLessThanOrEqual(200);
});

test('what was written stays as it is', async () => {
  const key = `written/${crypto.randomUUID()}`;
  await writeResults(bucket, key, table(3));
  const before = await bucket.head(key);
  await writeResults(bucket, key, table(4));
  expect((await bucket.head(key))?.etag).toBe(before?.etag);
});

test('of large results a quarter of a megabyte is written at a time', async () => {
  const key = `written/${crypto.randomUUID()}`;
  const results = table(60, 100_000);
  await writeResults(bucket, key, results);
  expect(await (await bucket.get(key))?.text()).toBe(`${results.lines().join('\n')}\n`);
  expect(results.most.bytes).toBeLessThanOrEqual(2 ** 18);
});

test('where results are gone in the midst of it, nothing is put and nobody waits', async () => {
  const key = `written/${crypto.randomUUID()}`;
  const results = table(60, 100_000);
  const gone = (from: number, amount: Amount) => {
    if (from > 0) throw new Error('no such table: result');
    return results.results(from, amount);
  };
  await expect(writeResults(bucket, key, { ...results, results: gone })).rejects.toThrow();
  expect(await bucket.head(key)).toBeNull();
});
