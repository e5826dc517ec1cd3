import { describe, expect, it, vi } from 'vitest';
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
    const begun = Promise.withResolvers<void>();
    const stopped = async () => {
      begun.resolve();
      await new Promise(() => {});
    };
    bulk.run('stopped', stopped).catch(() => {});
    await begun.promise;
    const next = bulk.run('a', async () => 7);
    now = 10_000;
    expect(await next).toBe(7);
  });

  it('of a client that goes away leave their place at once', async () => {
    const client = new AbortController();
    const bulk = new BulkReads(1, () => 0);
    const { promise: never } = Promise.withResolvers<void>();
    bulk.run('stopped', () => never, { signal: client.signal }).catch(() => {});
    const next = bulk.run('a', async () => 7);
    client.abort();
    expect(await next).toBe(7);
  });

  it('of clients that go away while they wait get no turn', async () => {
    const bulk = new BulkReads(1, () => 0);
    const { begun, add, settled } = reads(bulk);
    add('a');
    await settled();
    const client = new AbortController();
    const waited: string[] = [];
    // The timers of a request that was stopped are silent.
    vi.stubGlobal('setTimeout', () => 0);
    for (let n = 0; n < 6; n++) {
      const read = async () => void waited.push('stopped');
      bulk.run('stopped', read, { signal: client.signal }).catch(() => {});
    }
    vi.unstubAllGlobals();
    client.abort();
    add('honest');
    begun[0]?.end();
    await settled();
    expect(begun.map((one) => one.client)).toEqual(['a', 'honest']);
    expect(waited).toEqual([]);
    begun[1]?.end();
  });

  it('count for as long as they say that they go on', async () => {
    let now = 0;
    const bulk = new BulkReads(1, () => now, { leaseMs: 100 });
    const first = Promise.withResolvers<void>();
    let renew = () => {};
    bulk.run('a', async (goesOn) => {
      renew = goesOn;
      await first.promise;
    });
    await Promise.resolve();
    const begun = vi.fn(async () => {});
    const second = bulk.run('b', begun);
    for (let n = 0; n < 3; n++) {
      now += 90;
      renew();
      // Whoever comes looks.
      const client = new AbortController();
      bulk.run('c', async () => {}, { signal: client.signal }).catch(() => {});
      client.abort();
    }
    expect(begun).not.toHaveBeenCalled();
    now += 101;
    await second;
    expect(begun).toHaveBeenCalled();
    first.resolve();
  });

  it('that would wait for too long are refused', async () => {
    let now = 0;
    const bulk = new BulkReads(1, () => now, { leaseMs: 1e9 });
    const first = Promise.withResolvers<void>();
    bulk.run('a', () => first.promise);
    const refused = expect(
      bulk.run('b', async () => {}, { longestMs: 5000 }),
    ).rejects.toMatchObject({ slug: 'overloaded' });
    now = 5001;
    await refused;
    first.resolve();
  });
});
