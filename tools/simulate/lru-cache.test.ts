/** The cache of the edge on paper: against the formula for its hits, and against a list that does the same slowly. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { seededRandom } from '../load/random.ts';
import { cheHitRatio } from './che.ts';
import { LruCache } from './lru-cache.ts';
import { zipf, zipfChances } from './zipf.ts';

it.each([
  [0.6, 0.05],
  [0.8, 0.1],
  [1, 0.02],
  [1, 0.2],
  [1.2, 0.1],
])("has the hits of Che's approximation at a skew of %d with room for %d of all", (skew, room) => {
  const images = 5000;
  const random = seededRandom(3);
  const draw = zipf(images, skew);
  const cache = new LruCache(room * images);
  let hits = 0;
  const draws = 60_000;
  for (let i = 0; i < 2 * draws; i++) {
    const image = draw(random);
    if (cache.has(image, i) && i >= draws) hits += 1;
    cache.put(image, i);
  }
  const expected = cheHitRatio(zipfChances(images, skew), room * images);
  expect(Math.abs(hits / draws - expected)).toBeLessThan(0.012);
});

it('has what was used last, and nothing for longer than its time', () => {
  const step = fc.record({ key: fc.nat(6), isPut: fc.boolean(), passed: fc.nat(4) });
  fc.assert(
    fc.property(fc.array(step), fc.nat(5), fc.integer({ min: 1, max: 20 }), (steps, room, ttl) => {
      const cache = new LruCache(room, ttl);
      let list: { key: number; until: number }[] = [];
      let now = 0;
      for (const { key, isPut, passed } of steps) {
        now += passed;
        if (isPut) {
          list = [...list.filter((one) => one.key !== key), { key, until: now + ttl }];
          list = room === 0 ? [] : list.slice(-room);
          cache.put(key, now);
        } else {
          const found = list.find((one) => one.key === key);
          const isThere = found !== undefined && found.until > now;
          expect(cache.has(key, now)).toBe(isThere);
          list = list.filter((one) => one.key !== key);
          if (isThere) list.push(found);
        }
      }
    }),
  );
});
