/** Commits of many items leave time to other requests. */
import { expect, test, vi } from 'vitest';
import { startEdge } from '../testing/edge.ts';
import { frames } from '../testing/jobs.ts';
import { committedItems } from './committed-items.ts';
import type { OpenItem } from './open-items.ts';
import type { PartTable } from './part-table.ts';
import type { Rehearser } from './rehearsal.ts';

const order = {
  ...{ job: 'e'.repeat(96), part: 0, items: 100, owner: 'o', client: 'c', namespace: '' },
  ...{ cacheEmbeddings: false, isOfBucket: false, expiresAt: 0 },
};

/** Pauses between so many items whose lines have so many characters. */
async function pausesOf(items: number, characters: number): Promise<number> {
  const { deps } = startEdge();
  const line = JSON.stringify({
    ...{ custom_id: 'a', method: 'POST', url: '/v1/captions' },
    body: { prompt: 'a'.repeat(characters) },
  });
  const work: OpenItem['work'] = {
    task: { kind: 'embed-texts', texts: [[1]] },
    source: { kind: 'none' },
    revision: deps.models.retrieve?.revision ?? '',
  };
  const open = { line, work, sentAt: 0, sends: 1, begun: 0, returns: 0 };
  const table = { state: { order }, openItem: (item: number): OpenItem => ({ ...open, item }) };
  const rehearser = { perform: async () => ({ status: 200, body: {} }) };
  const outcome = frames([]);
  const results = Array.from({ length: items }, (_, item) => ({ item, outcome }));
  const wait = vi.spyOn(scheduler, 'wait').mockResolvedValue();
  try {
    const services = { deps, rehearser: rehearser as unknown as Rehearser, waitUntil: () => {} };
    const { ended } = await committedItems(
      table as unknown as PartTable,
      results as never,
      services,
    );
    expect(ended).toHaveLength(items);
    return wait.mock.calls.length;
  } finally {
    wait.mockRestore();
  }
}

test('there is a pause after some short items, and after each long one', async () => {
  expect(await pausesOf(100, 1)).toBeGreaterThanOrEqual(10);
  expect(await pausesOf(10, 10_000)).toBe(10);
});
