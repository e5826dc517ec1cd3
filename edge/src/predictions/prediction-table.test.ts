/** Which predictions of a caller stay stored. */
import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { expect, it } from 'vitest';
import type { StoredPrediction } from './contract.ts';
import { PredictionTable } from './prediction-table.ts';

const NOW = 1_795_780_800_000;

async function withTable(use: (table: PredictionTable) => void): Promise<void> {
  const objects = (env as unknown as { JOB_INDEX: DurableObjectNamespace }).JOB_INDEX;
  await runInDurableObject(objects.get(objects.newUniqueId()), async (_, { storage }) => {
    const table = new PredictionTable(storage.sql);
    table.create();
    use(table);
    await storage.deleteAll();
  });
}

const put = (table: PredictionTable, id: string) =>
  table.put(table.nextNumber(), { id, createdAt: NOW } as StoredPrediction, []);

it('the last 200 are', () =>
  withTable((table) => {
    for (let i = 0; i < 210; i++) put(table, `${i}`);
    expect([9, 10, 209].map((i) => table.find(`${i}`, NOW) !== null)).toEqual([false, true, true]);
  }));

it('those that were refused take the place of one of them, however many they are', () =>
  withTable((table) => {
    for (let i = 0; i < 200; i++) put(table, `${i}`);
    for (let i = 0; i < 500; i++) {
      put(table, `refused ${i}`);
      table.delete(`refused ${i}`);
    }
    expect([0, 1, 199].map((i) => table.find(`${i}`, NOW) !== null)).toEqual([false, true, true]);
  }));
