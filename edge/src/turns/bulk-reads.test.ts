import { describe, expect, it } from 'vitest';
import { BulkReads } from './bulk-reads.ts';

/** Reads that end when the test says so, in the order in which they began. */
function reads(bulk: BulkReads) {
  const begun: { client: string; end: () => void }[] = [];
  const all: Promise<void>[] = [];
  return {
    begun,
    add: (client: string) => {
      const read = () =>
        new Promise<void>((resolve) => {
          begun.push({ client, end: resolve });
        });
      all.push(bulk.run(client, read));
    },
    settled: () => new Promise((resolve) => setTimeout(resolve)),
    done: () => Promise.all(all),
  };
}

describe('reads by the hundred', () => {
  it('are a few at a time', async () => {
    const { begun, add, settled, done } = reads(new BulkReads(3));
    for (let n = 0; n < 10; n++) add('a');
    await settled();
    expect(begun).toHaveLength(3);
    begun[0]?.end();
    await settled();
    expect(begun).toHaveLength(4);
    for (let n = 1; n < 10; n++) {
      begun[n]?.end();
      await settled();
    }
    await done();
    expect(begun).toHaveLength(10);
  });

  it('of clients come by turns', async () => {
    const { begun, add, settled, done } = reads(new BulkReads(1));
    for (let n = 0; n < 4; n++) add('greedy');
    for (let n = 0; n < 2; n++) add('light');
    for (let n = 0; n < 6; n++) {
      await settled();
      begun[n]?.end();
    }
    await done();
    expect(begun.map(({ client }) => client)).toEqual([
      ...['greedy', 'greedy', 'light', 'greedy', 'light', 'greedy'],
    ]);
  });

  it('that fail leave their place', async () => {
    const bulk = new BulkReads(1);
    await expect(bulk.run('a', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await bulk.run('a', async () => 7)).toBe(7);
  });

  it('of a request that was stopped leave their place after a while', async () => {
    let now = 0;
    const bulk = new BulkReads(1, () => now);
    bulk.run('stopped', () => new Promise(() => {})).catch(() => {});
    const next = bulk.run('a', async () => 7);
    now = 10_000;
    expect(await next).toBe(7);
  });
});
