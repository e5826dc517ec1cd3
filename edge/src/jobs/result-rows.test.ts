/** What SQLite has of a part is read, sent and deleted so many bytes at a time. */

import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { expect, test } from 'vitest';
import type { Env } from '../platform.ts';
import { bound } from '../testing/jobs.ts';
import type { PartOrder } from './contract.ts';
import { pageOf } from './part-page.ts';
import { PartTable } from './part-table.ts';

const parts = bound((env as unknown as Env).JOB_PARTS);

/** Texts that were bound to statements or came out of them: their characters at once. */
function counting(storage: DurableObjectStorage) {
  const seen = { most: 0, statements: [] as string[] };
  const sql = {
    exec: (text: string, ...values: unknown[]) => {
      const rows = storage.sql.exec(text, ...(values as SqlStorageValue[])).toArray();
      const texts = rows.flatMap(Object.values).filter((value) => typeof value === 'string');
      seen.most = Math.max(
        seen.most,
        texts.reduce((sum, { length }) => sum + length, 0),
      );
      seen.statements.push(text);
      return { toArray: () => rows, one: () => rows[0] };
    },
  };
  const counted = { sql, transactionSync: <T>(work: () => T) => storage.transactionSync(work) };
  return { storage: counted as unknown as DurableObjectStorage, seen };
}

const order = { job: 'a', part: 0, items: 1000 } as PartOrder;
const LINE = 'é'.repeat(60_000);
const result = (item: number, line = LINE) =>
  ({ item, outcome: 'completed', line, usage: null }) as const;

/** A part of its own. */
async function inPart(name: string, work: (storage: DurableObjectStorage) => Promise<void>) {
  await runInDurableObject(parts.getByName(`rows ${name}`), (_, { storage }) => work(storage));
}

test('a page reads no more lines than it has', async () => {
  await inPart('page', async (real) => {
    const { storage, seen } = counting(real);
    const table = new PartTable(storage);
    table.begin(order);
    table.end(Array.from({ length: 100 }, (_, item) => result(item)));
    seen.most = 0;
    const page = pageOf(table, 1000, 0, false);
    expect(page).toMatchObject({ kind: 'lines', next: 8, isWhole: false });
    expect(seen.most).toBe(8 * LINE.length);
    const lines: string[] = [];
    for (let from: number | null = 0; from !== null; ) {
      const some = pageOf(table, 1000, from, false);
      if (some.kind === 'closed') throw new Error('it is not');
      lines.push(...some.lines);
      from = some.next;
    }
    expect(lines).toHaveLength(100);
  });
});

test('a page ends before a gap, or goes over it', async () => {
  await inPart('gap', async (storage) => {
    const table = new PartTable(storage);
    table.begin({ ...order, items: 4 });
    table.end([result(0, 'a'), result(1, 'b'), result(3, 'c')]);
    const page = { kind: 'lines', next: null };
    expect(pageOf(table, 4, 0, false)).toEqual({ ...page, lines: ['a', 'b'], isWhole: false });
    expect(pageOf(table, 4, 0, true)).toEqual({ ...page, lines: ['a', 'b', 'c'], isWhole: true });
  });
});

test('bytes of results are counted as they come, the first of an item alone', async () => {
  await inPart('bytes', async (real) => {
    const { storage, seen } = counting(real);
    const table = new PartTable(storage);
    table.begin(order);
    table.end([result(0), result(1, 'é')]);
    table.end([result(0, 'another'), result(2, 'a')]);
    seen.statements = [];
    expect(table.resultBytes()).toBe(2 * LINE.length + 1 + 3 + 2);
    expect(seen.statements).toEqual([]);
    // One that was begun before they were counted.
    const { resultBytes: _, ...older } = table.state ?? {};
    storage.sql.exec('UPDATE state SET record = ?', JSON.stringify(older));
    expect(new PartTable(storage).resultBytes()).toBe(table.resultBytes());
  });
});

test('large results are deleted in pieces, small ones with their table', async () => {
  const deletions = async (name: string, count: number) => {
    let found: string[] = [];
    await inPart(name, async (real) => {
      const { storage, seen } = counting(real);
      const table = new PartTable(storage);
      table.begin(order);
      table.end(Array.from({ length: count }, (_, item) => result(item)));
      await table.close();
      found = seen.statements.filter((text) => text.startsWith('DELETE FROM result'));
      expect(seen.statements).toContain('DROP TABLE result');
      expect(table.state?.isClosed).toBe(true);
      // As after a restart in its midst.
      await new PartTable(storage).close();
    });
    return found.length;
  };
  expect(await deletions('few', 100)).toBe(0);
  // 36 MB, of which 34 go at a time.
  expect(await deletions('many', 300)).toBe(9);
});

test('items that wait are sent without their lines, some at a time, each once', async () => {
  await inPart('unsent', async (real) => {
    const { storage, seen } = counting(real);
    const table = new PartTable(storage);
    table.begin(order);
    const work = { task: { texts: ['a'.repeat(100_000)] }, revision: 'r' };
    const open = Array.from({ length: 30 }, (_, item) => ({ item, line: LINE, work }));
    table.read(
      { offset: 0, item: 0 },
      { offset: 30, item: 30 },
      open as unknown as Parameters<PartTable['read']>[2],
      [],
      0,
    );
    seen.most = 0;
    const sent: number[] = [];
    for (let from = 0; ; ) {
      const { items, isCut } = table.unsent(from, 0, 1000);
      expect(items[0]).not.toHaveProperty('line');
      sent.push(...items.map(({ item }) => item));
      from = (items.at(-1)?.item ?? 0) + 1;
      if (!isCut) break;
    }
    expect(sent).toEqual(open.map(({ item }) => item));
    expect(seen.most).toBeLessThanOrEqual(2 ** 20);
    seen.most = 0;
    const { items, isCut } = table.open.first({ items: 64, bytes: 2 ** 18 });
    expect([items.length, isCut]).toEqual([2, true]);
    expect(seen.most).toBe(2 * LINE.length);
  });
});
