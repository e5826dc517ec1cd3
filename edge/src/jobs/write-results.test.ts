/** Results are put into the bucket once, whoever else does the same at the same time. */
import { expect, test } from 'vitest';
import { bucket } from '../testing/jobs.ts';
import { writeResults } from './write-results.ts';

/** Results of so many items, of the sizes that embeddings have. */
function table(items: number) {
  const line = (item: number) => JSON.stringify({ item, body: 'é'.repeat(item % 1000) });
  const bytes = (text: string) => new TextEncoder().encode(`${text}\n`).length;
  let read = 0;
  return {
    lines: () => Array.from({ length: items }, (_, item) => line(item)),
    mostRead: () => read,
    resultBytes: () =>
      Array.from({ length: items }, (_, i) => bytes(line(i))).reduce((a, b) => a + b, 0),
    results: (from: number, limit: number) => {
      const count = Math.min(limit, items - from);
      read = Math.max(read, count);
      return Array.from({ length: count }, (_, i) => ({ item: from + i, line: line(from + i) }));
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
  expect(results.mostRead()).toBeLessThanOrEqual(200);
});

test('what was written stays as it is', async () => {
  const key = `written/${crypto.randomUUID()}`;
  await writeResults(bucket, key, table(3));
  const before = await bucket.head(key);
  await writeResults(bucket, key, table(4));
  expect((await bucket.head(key))?.etag).toBe(before?.etag);
});
