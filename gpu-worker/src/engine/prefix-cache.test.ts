import { describe, expect, it } from 'vitest';
import { PrefixCache } from './prefix-cache.ts';

/** Bytes of a position here. */
const WIDTH = 4;
const values = (positions: number) => new Float32Array(positions);
/** Keeps a text, each position's value being its id. */
const keepText = (cache: PrefixCache, key: string, ids: readonly number[]) =>
  cache.keepText(key, ids, (start) => Float32Array.from(ids.slice(start)));
/** The ids that `keepText` kept of what a text begins with. */
const known = (cache: PrefixCache, key: string, ids: readonly number[]) =>
  cache.text(key, ids).flatMap(({ values: kept, length }) => [...kept.subarray(0, length)]);

describe('pictures in the prefix cache', () => {
  it('are forgotten when its memory is full, what was not used for longest first', () => {
    const cache = new PrefixCache(30 * WIDTH);
    for (const key of ['a', 'b', 'c']) cache.keepPicture(key, values(10));
    expect(cache.picture('a')).toHaveLength(10);
    cache.keepPicture('d', values(10));
    expect(cache.picture('b')).toBeUndefined();
    for (const key of ['a', 'c', 'd']) expect(cache.picture(key), key).toBeDefined();
    expect(cache.memory.bytes).toBe(30 * WIDTH);
    expect(cache.memory).toMatchObject({ hits: 4, misses: 1 });
  });

  it('give way to a larger one, and never hold more than its memory', () => {
    const cache = new PrefixCache(25 * WIDTH);
    cache.keepPicture('a', values(10));
    cache.keepPicture('b', values(10));
    cache.keepPicture('large', values(20));
    expect(cache.memory.bytes).toBe(20 * WIDTH);
    cache.keepPicture('too large', values(26));
    expect(cache.picture('too large')).toBeUndefined();
    expect(cache.picture('large')).toBeDefined();
  });

  it('are kept once', () => {
    const cache = new PrefixCache(25 * WIDTH);
    cache.keepPicture('a', values(10));
    cache.keepPicture('a', values(10));
    expect(cache.memory.bytes).toBe(10 * WIDTH);
  });
});

describe('texts in the prefix cache', () => {
  const filled = (budget = 100) => {
    const cache = new PrefixCache(budget * WIDTH);
    cache.keepPicture('a', values(10));
    keepText(cache, 'a', [1, 2, 3]);
    keepText(cache, 'a', [1, 2, 3, 4, 5]);
    keepText(cache, 'a', [1, 2, 9]);
    return cache;
  };

  it.each([
    ['that was kept is known', [1, 2, 3, 4, 5], [1, 2, 3, 4, 5]],
    ['that goes on is known as far as it was kept', [1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5]],
    ['that ends within another is known', [1, 2, 3, 4], [1, 2, 3, 4]],
    ['that leaves another is known up to there', [1, 2, 3, 4, 8], [1, 2, 3, 4]],
    ['that has most in common with a later one is known from that', [1, 2, 9, 9], [1, 2, 9]],
    ['that begins otherwise is not known', [2, 3], []],
    ['without ids is not known', [], []],
  ])('one %s', (_, ids, expected) => {
    const cache = filled();
    expect(cache.peek('a', ids)).toEqual({ picture: true, textPositions: expected.length });
    expect(cache.memory.textPositions).toBe(0);
    expect(known(cache, 'a', ids)).toEqual(expected);
    expect(cache.memory.textPositions).toBe(expected.length);
  });

  it('belong to their picture', () => {
    const cache = filled();
    cache.keepPicture('b', values(10));
    expect(known(cache, 'b', [1, 2, 3])).toEqual([]);
    expect(cache.peek('c', [1, 2, 3])).toEqual({ picture: false, textPositions: 0 });
  });

  it('hold only what is new behind what others begin with', () => {
    // 10 of the picture, 1 2 3, 4 5, and 1 2 9: only whole stretches are shared.
    expect(filled().memory.bytes).toBe(18 * WIDTH);
  });

  it('are not kept without their picture', () => {
    const cache = new PrefixCache(100 * WIDTH);
    keepText(cache, 'a', [1, 2, 3]);
    expect(cache.memory.bytes).toBe(0);
  });

  it('are forgotten before what they stand behind', () => {
    const cache = filled(18);
    expect(known(cache, 'a', [1, 2, 3, 4, 5])).toEqual([1, 2, 3, 4, 5]);
    cache.keepPicture('b', values(1));
    expect(known(cache, 'a', [1, 2, 9])).toEqual([1, 2]);
    cache.keepPicture('c', values(3));
    expect(known(cache, 'a', [1, 2, 3, 4, 5])).toEqual([1, 2, 3]);
    cache.keepPicture('d', values(17));
    expect(cache.peek('a', [1, 2, 3])).toEqual({ picture: false, textPositions: 0 });
    expect(cache.memory.bytes).toBeLessThanOrEqual(18 * WIDTH);
  });

  it('never push out what they stand behind', () => {
    const cache = new PrefixCache(12 * WIDTH);
    cache.keepPicture('a', values(10));
    keepText(cache, 'a', [1, 2, 3]);
    expect(cache.peek('a', [1, 2, 3])).toEqual({ picture: true, textPositions: 0 });
    keepText(cache, 'a', [1, 2]);
    expect(known(cache, 'a', [1, 2, 3])).toEqual([1, 2]);
  });
});
