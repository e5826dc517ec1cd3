import { AsyncLocalStorage } from 'node:async_hooks';
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

  it('of a request that has ended get no turn, and leave their places', async () => {
    const end = new AbortController();
    const { signal: ended } = end;
    const bulk = new BulkReads(1, () => 0);
    const { promise: never } = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const running = async () => {
      begun.resolve();
      await never;
    };
    bulk.run('ended', running, { ended }).catch(() => {});
    await begun.promise;
    const read = vi.fn(async () => {});
    const waited = [1, 2, 3].map(() => bulk.run('ended', read, { ended }));
    const honest = bulk.run('honest', async () => 7);
    end.abort(new Error('refused'));
    expect(await honest).toBe(7);
    for (const wait of [...waited, bulk.run('ended', read, { ended })]) {
      await expect(wait).rejects.toThrow('refused');
    }
    expect(read).not.toHaveBeenCalled();
  });

  it('of a request that ends when their turn has come leave it', async () => {
    const end = new AbortController();
    const bulk = new BulkReads(1, () => 0);
    const first = bulk.run('a', async () => end);
    const read = vi.fn(async () => {});
    const wait = bulk.run('ended', read, { ended: end.signal });
    const honest = bulk.run('honest', async () => 7);
    await first.then(() => end.abort(new Error('refused')));
    await expect(wait).rejects.toThrow('refused');
    expect(await honest).toBe(7);
    expect(read).not.toHaveBeenCalled();
  });

  it.each(['ends', 'ends while another waits'])(
    'pause without the timers of a request that %s',
    async (how) => {
      const contexts = new AsyncLocalStorage<string>();
      const { setTimeout: set } = globalThis;
      vi.stubGlobal('setTimeout', (call: () => void, ms?: number) =>
        contexts.getStore() === 'ended' ? 0 : set(call, ms),
      );
      const end = new AbortController();
      const { signal: ended } = end;
      const bulk = new BulkReads(1, () => 0, { burst: 1 });
      const first = Promise.withResolvers<void>();
      const waits = [
        contexts.run('ended', () => bulk.run('a', () => first.promise, { ended })),
        ...(how === 'ends'
          ? []
          : [contexts.run('ended', () => bulk.run('b', async () => {}, { ended }))]),
      ];
      const honest = bulk.run('c', async () => 7);
      const all = Promise.allSettled(waits);
      first.resolve();
      await waits[0];
      end.abort();
      await all;
      expect(await honest).toBe(7);
      vi.unstubAllGlobals();
    },
  );

  it('that leave take no steps for each that waits', async () => {
    let steps = 0;
    for (const name of ['filter', 'shift', 'splice', 'indexOf', 'findIndex', 'includes'] as const) {
      const original = Array.prototype[name] as (...given: unknown[]) => unknown;
      vi.spyOn(Array.prototype, name).mockImplementation(function (
        this: unknown[],
        ...given: unknown[]
      ) {
        steps += this.length;
        return original.apply(this, given) as never;
      });
    }
    const bulk = new BulkReads(1, () => 0);
    const end = new AbortController();
    const first = bulk.run('a', () => new Promise(() => {}), { ended: end.signal });
    const count = 500;
    const clients = Array.from({ length: count }, () => new AbortController());
    const waits = clients.map(({ signal }) =>
      bulk.run('a', async () => {}, { signal, ended: end.signal }),
    );
    steps = 0;
    for (const client of clients) client.abort();
    end.abort();
    await Promise.allSettled([first, ...waits]);
    const taken = steps;
    vi.restoreAllMocks();
    expect(taken).toBeLessThan(20 * count);
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
