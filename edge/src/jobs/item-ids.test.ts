/** Duplicates among very many names are found a few at a time, so that others come between. */
import { expect, test, vi } from 'vitest';
import { encodeIds, findDuplicates } from './item-ids.ts';

const COUNT = 20_000;
const names = Array.from({ length: COUNT }, (_, i) => ({ custom_id: `item-${i}`, line: i + 1 }));

async function parts(items: readonly { custom_id: string; line: number }[], size = 1000) {
  const encoded: Uint8Array<ArrayBuffer>[] = [];
  for (let at = 0; at < items.length; at += size) {
    encoded.push(await encodeIds(items.slice(at, at + size), 'salt'));
  }
  return encoded;
}

test('duplicates are found wherever they are, in their order, up to a limit', async () => {
  const items = names.with(5, { custom_id: 'item-3', line: 6 });
  items[COUNT - 1] = { custom_id: 'item-3', line: COUNT };
  items[777] = { custom_id: 'item-19000', line: 778 };
  const all = await parts(items);
  const found = [
    { line: 6, first: 4 },
    { line: 19_001, first: 778 },
    { line: COUNT, first: 4 },
  ];
  expect(await findDuplicates(COUNT, () => all, 100)).toEqual(found);
  expect(await findDuplicates(COUNT, () => all, 2)).toEqual(found.slice(0, 2));
  expect(await findDuplicates(1, () => [], 2)).toEqual([]);
});

test('of many equal names nothing is sorted, and others come between', async () => {
  const same = Array.from({ length: COUNT }, (_, i) => ({ custom_id: `${i % 2}`, line: i + 1 }));
  const all = await parts(same);
  const sort = vi.spyOn(BigUint64Array.prototype, 'sort');
  const wait = vi.spyOn(scheduler, 'wait');
  try {
    const found = await findDuplicates(COUNT, () => all, 3);
    expect(found).toEqual([
      { line: 3, first: 1 },
      { line: 4, first: 2 },
      { line: 5, first: 1 },
    ]);
    const sizes = sort.mock.contexts.map((hashes) => (hashes as BigUint64Array).length);
    expect(Math.max(0, ...sizes)).toBeLessThan(4096);
    // Twice for the hashes that are shared out, and once where they are compared.
    expect(wait.mock.calls.length).toBeGreaterThan(20);
  } finally {
    sort.mockRestore();
    wait.mockRestore();
  }
});

test('no more than some thousands are sorted in one go', async () => {
  const all = await parts(names);
  const sort = vi.spyOn(BigUint64Array.prototype, 'sort');
  const wait = vi.spyOn(scheduler, 'wait');
  try {
    expect(await findDuplicates(COUNT, () => all, 100)).toEqual([]);
    const sizes = sort.mock.contexts.map((hashes) => (hashes as BigUint64Array).length);
    expect(sizes.reduce((sum, length) => sum + length, 0)).toBe(COUNT);
    expect(Math.max(...sizes)).toBeLessThan(4096);
    expect(wait.mock.calls.length).toBeGreaterThan(10);
  } finally {
    sort.mockRestore();
    wait.mockRestore();
  }
});
