/** The search for the highest rate within a bound, on services whose capacity is known. */
import { expect, it } from 'vitest';
import { capacityOf, findCapacity } from './capacity.ts';

/** Within any bound up to its capacity, and beyond it in none. */
const service = (capacity: number) => async (rate: number) => ({
  p99: rate <= capacity ? 50 : 5000,
  failed: 0,
});

it.each([
  [3, 20],
  [20, 20],
  [77, 20],
  [300, 20],
  [5, 1],
])('%d a second is found from %d on', async (capacity, from) => {
  const found = capacityOf(await findCapacity(service(capacity), { from, boundMs: 100 }));
  expect(found).toBeLessThanOrEqual(capacity);
  expect(found).toBeGreaterThanOrEqual(0.85 * capacity);
});

it('a failure is beyond the bound, and so is no reply at all', async () => {
  const failing = async () => ({ p99: 1, failed: 1 });
  expect(capacityOf(await findCapacity(failing, { from: 8, boundMs: 100 }))).toBe(0);
  const silent = async () => ({ p99: null, failed: 0 });
  expect(capacityOf(await findCapacity(silent, { from: 8, boundMs: 100 }))).toBe(0);
});
