/** What docs/jobs.md says that an item costs: rows that are written, and requests. */
import { runInDurableObject } from 'cloudflare:test';
import { expect, test } from 'vitest';
import { captioned, createJob, remove, type TestJob } from '../testing/jobs.ts';

/** Of one part, and as many as its window has. */
const ITEMS = 16;
/** Beside what it writes of each item and commit: its beginning, its end, what was sent, and reports. */
const OF_PART = 10;

const lines = Array.from({ length: ITEMS }, (_, i) => ({
  custom_id: `item-${i}`,
  method: 'POST',
  url: '/v1/captions',
  body: { image: { url: `https://images.example.org/${i}.png` } },
}));

/** Rows that the part has written, but for those of its alarms. */
async function rowsOf(job: TestJob): Promise<number> {
  return await runInDurableObject(job.part(0), (_, { storage }) => {
    return storage.sql.exec<{ n: number }>('SELECT total_changes() AS n').one().n;
  });
}

/** @returns rows, where so many items are committed at a time */
async function run(together: number): Promise<number> {
  const job = await createJob(lines);
  const items: number[] = [];
  while (items.length < ITEMS) {
    for (const { message, handle } of await job.receive()) {
      if (!items.includes(message.item)) items.push(message.item);
      await remove(handle);
    }
  }
  for (let at = 0; at < ITEMS; at += together) {
    const some = items.slice(at, at + together);
    await job.commit(
      0,
      some.map((item) => ({ item, outcome: captioned(` ${item}`) })),
    );
  }
  await job.until('completed');
  return await rowsOf(job);
}

test.each([1, 4, 16])(
  'an item is three rows, a commit of %i items up to two more',
  async (together) => {
    const rows = await run(together);
    expect(rows).toBeGreaterThanOrEqual(3 * ITEMS + ITEMS / together);
    expect(rows).toBeLessThanOrEqual(3 * ITEMS + (2 * ITEMS) / together + OF_PART);
  },
);
