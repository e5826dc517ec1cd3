/** What was not run when a job ends gets its lines a few at a time. */
import { runInDurableObject } from 'cloudflare:test';
import { expect, test, vi } from 'vitest';
import { testEnv } from '../testing/edge.ts';
import { bound, bucket } from '../testing/jobs.ts';
import { type PartOrder, partKey } from './contract.ts';
import { endRest } from './end-part.ts';
import { PartTable } from './part-table.ts';

const ITEMS = 300;
const OPEN = 150;

const lines = Array.from({ length: ITEMS }, (_, i) => `{"custom_id":"${i}"}`);

/** A canceled part of which half was read. */
async function canceled(work: (table: PartTable) => Promise<void>) {
  const job = crypto.randomUUID().replaceAll('-', '').repeat(3);
  const order = {
    ...{ job, part: 0, items: ITEMS, owner: 'ender', client: 'ender', namespace: '' },
    ...{ cacheEmbeddings: false, isOfBucket: false, expiresAt: Date.now() + 3_600_000 },
  } satisfies PartOrder;
  await bucket.put(partKey(order, 'in'), lines.map((line) => `${line}\n`).join(''));
  const parts = bound(testEnv.JOB_PARTS);
  await runInDurableObject(parts.get(parts.newUniqueId()), async (_, { storage }) => {
    const table = new PartTable(storage);
    table.begin(order);
    const open = lines.slice(0, OPEN).map((line, item) => ({ item, line, work: {} }));
    const offset = lines.slice(0, OPEN).join('\n').length + 1;
    table.read(
      { offset: 0, item: 0 },
      { offset, item: OPEN },
      open as unknown as Parameters<PartTable['read']>[2],
      [],
      0,
    );
    table.update({ ending: 'canceled' });
    await work(table);
  });
}

test('each item has its line, and no more than some are ended in one go', async () => {
  await canceled(async (table) => {
    const end = vi.spyOn(table, 'end');
    const read = vi.spyOn(table, 'read');
    expect(await endRest(table, bucket)).toEqual({ at: null, hasEnded: true });
    const sizes = [
      ...end.mock.calls.map(([some]) => some),
      ...read.mock.calls.map(([, , , some]) => some),
    ].map(({ length }) => length);
    expect(sizes).toEqual([64, 64, 22, 64, 64, 22]);
    expect(table.state?.tally.canceled).toBe(ITEMS);
    const { rows } = table.results(0, { lines: ITEMS, bytes: 2 ** 20 });
    const ids = rows.map(({ line }) => JSON.parse(line).custom_id);
    expect(ids).toEqual(lines.map((_, i) => `${i}`));
  });
});

test('it stops where its job is deleted meanwhile', async () => {
  await canceled(async (table) => {
    const wait = vi.spyOn(scheduler, 'wait').mockImplementation(async () => table.forget());
    try {
      expect(await endRest(table, bucket)).toEqual({ at: null, hasEnded: true });
    } finally {
      wait.mockRestore();
    }
  });
});
