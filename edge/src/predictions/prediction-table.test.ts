/** Which predictions of a caller stay stored. */
import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { imagePathOf } from '@blip2/shared/cache-key';
import { expect, it, vi } from 'vitest';
import type { StoredPrediction } from './contract.ts';
import { PredictionTable } from './prediction-table.ts';

const NOW = 1_795_780_800_000;

async function withTable(use: (table: PredictionTable, sql: SqlStorage) => void): Promise<void> {
  const objects = (env as unknown as { JOB_INDEX: DurableObjectNamespace }).JOB_INDEX;
  await runInDurableObject(objects.get(objects.newUniqueId()), async (_, { storage }) => {
    const table = new PredictionTable(storage.sql);
    table.create();
    use(table, storage.sql);
    await storage.deleteAll();
  });
}

const put = (table: PredictionTable, id: string) =>
  table.put(table.nextNumber(), { id, createdAt: NOW } as StoredPrediction, []);

it('the last 200 are, and up to 50 more', () =>
  withTable((table) => {
    const areStored = (...ids: number[]) => ids.map((i) => table.find(`${i}`, NOW) !== null);
    for (let i = 0; i < 250; i++) put(table, `${i}`);
    expect(areStored(0, 249)).toEqual([true, true]);
    put(table, '250');
    expect(areStored(50, 51, 250)).toEqual([false, true, true]);
    for (let i = 251; i < 300; i++) put(table, `${i}`);
    expect(areStored(51)).toEqual([true]);
    put(table, '301');
    expect(areStored(51)).toEqual([true]);
    put(table, '302');
    expect(areStored(51, 100, 299)).toEqual([false, false, true]);
  }));

it('the last 200 are of an object that was started anew, too', () =>
  withTable((table, sql) => {
    for (let i = 0; i < 250; i++) put(table, `${i}`);
    const again = new PredictionTable(sql);
    put(again, '250');
    expect([50, 51].map((i) => again.find(`${i}`, NOW) !== null)).toEqual([false, true]);
  }));

it('those that were refused take no place, however many they are', () =>
  withTable((table) => {
    for (let i = 0; i < 200; i++) put(table, `${i}`);
    for (let i = 0; i < 500; i++) {
      put(table, `refused ${i}`);
      table.delete(`refused ${i}`);
    }
    expect([0, 1, 199].map((i) => table.find(`${i}`, NOW) !== null)).toEqual([true, true, true]);
  }));

it('those about an image are deleted by an index, and none is parsed for it, whichever version has made the table', () =>
  withTable((table, sql) => {
    const [image, other] = [imagePathOf('', 'a'.repeat(64)), imagePathOf('', 'b'.repeat(64))];
    sql.exec('DROP INDEX predictions_image');
    for (let i = 0; i < 200; i++) {
      const about = { path: i % 2 === 0 ? image : other, sentAt: NOW };
      const stored = { id: `${i}`, createdAt: NOW, image: about } as StoredPrediction;
      table.put(table.nextNumber(), stored, []);
    }
    table.create();
    const parse = vi.spyOn(JSON, 'parse');
    const run = vi.spyOn(sql, 'exec');
    table.deleteImage(image);
    const [query = ''] = run.mock.calls.at(-1) ?? [];
    expect(parse).not.toHaveBeenCalled();
    vi.restoreAllMocks();
    expect(sql.exec('SELECT id FROM predictions').toArray()).toHaveLength(100);
    expect([0, 1].map((i) => table.find(`${i}`, NOW) !== null)).toEqual([false, true]);
    const plan = sql.exec<{ detail: string }>(`EXPLAIN QUERY PLAN ${query}`, other).toArray();
    expect(plan.map(({ detail }) => detail).join()).toContain('USING INDEX predictions_image');
  }));
