/** Items a second, of the last minute. */
import { expect, test } from 'vitest';
import { Rate } from './rate.ts';

test('a rate is known after a while, and is that of the last minute', () => {
  const rate = new Rate();
  expect(rate.perSecond(0)).toBeNull();
  rate.add(0, 0);
  rate.add(1000, 5);
  expect(rate.perSecond(1000)).toBeNull();
  rate.add(10_000, 100);
  expect(rate.perSecond(10_000)).toBe(10);
  for (let s = 20; s <= 90; s += 10) rate.add(1000 * s, 100);
  expect(rate.perSecond(90_000)).toBe(0);
});

test('counts are taken twice a second at most', () => {
  const rate = new Rate();
  expect(rate.isDue(1000)).toBe(true);
  rate.add(1000, 1);
  expect([rate.isDue(1499), rate.isDue(1500)]).toEqual([false, true]);
});
