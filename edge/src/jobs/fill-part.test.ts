/** How much of a part is rehearsed at a time, and when it stops. */
import { runInDurableObject } from 'cloudflare:test';
import { expect, test } from 'vitest';
import { startEdge, testEnv } from '../testing/edge.ts';
import { bound, bucket } from '../testing/jobs.ts';
import { type PartOrder, partKey } from './contract.ts';
import { PartFiller } from './fill-part.ts';
import { PartTable } from './part-table.ts';
import { JobQueue } from './queue.ts';
import type { Rehearsed, Rehearser } from './rehearsal.ts';

const REPLIED: Rehearsed = { kind: 'reply', reply: { status: 400, body: {} } };

/** How many items are rehearsed at once, of each turn. @param onTurn called in each */
async function turnsOf(
  texts: readonly string[],
  onTurn: (table: PartTable) => void = () => {},
  {
    onEnd = () => {},
    replied = REPLIED,
    ...more
  }: Partial<PartOrder> & { onEnd?: (table: PartTable) => void; replied?: Rehearsed } = {},
): Promise<number[]> {
  const job = crypto.randomUUID().replaceAll('-', '').repeat(3);
  const order: PartOrder = {
    ...{ job, part: 0, items: texts.length, owner: 'filler', client: 'filler', namespace: '' },
    ...{ cacheEmbeddings: false, isOfBucket: false, expiresAt: Date.now() + 3_600_000 },
    ...more,
  };
  const lines = texts.map((prompt, i) => ({
    ...{ custom_id: `${i}`, method: 'POST', url: '/v1/captions' },
    body: { prompt },
  }));
  await bucket.put(partKey(order, 'in'), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  const parts = bound(testEnv.JOB_PARTS);
  return await runInDurableObject(parts.get(parts.newUniqueId()), async (_, { storage }) => {
    const table = new PartTable(storage);
    table.begin(order);
    const turns: number[] = [];
    let running = 0;
    const rehearser: Pick<Rehearser, 'rehearse'> = {
      rehearse: async () => {
        if (running === 0) {
          turns.push(0);
          onTurn(table);
        }
        running++;
        turns.push((turns.pop() ?? 0) + 1);
        await Promise.resolve();
        running--;
        return replied;
      },
    };
    const { deps } = startEdge();
    const queue = new JobQueue({ config: deps.config, fetch: deps.fetchConfigured });
    const filler = new PartFiller({
      ...{ table, bucket, deps, queue },
      rehearser: rehearser as Rehearser,
    });
    await filler.fill();
    onEnd(table);
    return turns;
  });
}

test('short items are rehearsed together, and long ones one after the other', async () => {
  expect(await turnsOf(Array.from({ length: 10 }, () => 'a dog'))).toEqual([8, 2]);
  expect(await turnsOf(Array.from({ length: 3 }, () => 'a'.repeat(9000)))).toEqual([1, 1, 1]);
  expect(await turnsOf(['a dog', 'a'.repeat(9000), 'a cat'])).toEqual([1, 1, 1]);
});

test('no more items are rehearsed once their job is canceled', async () => {
  const texts = Array.from({ length: 16 }, () => 'a'.repeat(9000));
  expect(await turnsOf(texts, (table) => table.update({ ending: 'canceled' }))).toEqual([1]);
});

test('no more items are run once the results have their share: they have failed so', async () => {
  const texts = Array.from({ length: 16 }, () => 'a dog');
  const onEnd = (table: PartTable) => {
    expect(table.state).toMatchObject({ tally: { failed: 16 }, place: { item: 16 } });
    const { rows } = table.results(7, { lines: 2, bytes: 10_000 });
    expect(rows.map(({ line }) => JSON.parse(line))).toMatchObject([
      { custom_id: '7', status: 400, error: null },
      { custom_id: '8', status: null, error: { code: 'results_too_large' } },
    ]);
  };
  expect(await turnsOf(texts, () => {}, { maxResultBytes: 1, onEnd })).toEqual([8]);
});

test('items whose results are long are rehearsed a few at a time, once that is known', async () => {
  const texts = Array.from({ length: 12 }, () => 'a dog');
  const body = { embeddings: 'a'.repeat(30_000) };
  const replied: Rehearsed = { kind: 'reply', reply: { status: 200, body } };
  expect(await turnsOf(texts, () => {}, { replied })).toEqual([8, 2, 2]);
});

test('a reply that is too large for a row is a failure of its item, and others go on', async () => {
  const replied: Rehearsed = { kind: 'reply', reply: { status: 200, body: 'a'.repeat(2_200_000) } };
  const onEnd = (table: PartTable) => {
    expect(table.state).toMatchObject({ tally: { failed: 2 }, place: { item: 2 }, failures: 0 });
    const { rows } = table.results(0, { lines: 1, bytes: 10_000 });
    expect(JSON.parse(rows[0]?.line ?? '')).toMatchObject({ error: { code: 'result_too_large' } });
  };
  await turnsOf(['a dog', 'a cat'], () => {}, { replied, onEnd });
});

test('an error is a failure of the first item, which ends so after many', async () => {
  const onTurn = () => {
    throw new Error('a row is too large');
  };
  const onEnd = (table: PartTable) => {
    expect(table.state).toMatchObject({ tally: { failed: 0 }, place: { item: 0 }, failures: 1 });
  };
  await turnsOf(['a dog', 'a cat'], onTurn, { onEnd });
  let tries = 0;
  const onTry = (table: PartTable) => {
    if (tries++ > 0) return;
    table.update({ failures: 20 });
    onTurn();
  };
  const onOver = (table: PartTable) => {
    expect(table.state).toMatchObject({ tally: { failed: 2 }, place: { item: 2 } });
    const { rows } = table.results(0, { lines: 1, bytes: 10_000 });
    expect(JSON.parse(rows[0]?.line ?? '')).toMatchObject({ error: { code: 'item_failed' } });
  };
  // Lines so long are tried alone.
  await turnsOf(['a'.repeat(9000), 'a'.repeat(9000)], onTry, { onEnd: onOver });
});
