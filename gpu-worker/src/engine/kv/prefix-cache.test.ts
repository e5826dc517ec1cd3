import { describe, expect, it } from 'vitest';
import { seededRandom } from '../decoding/sampler.ts';
import { PrefixCache } from './prefix-cache.ts';

type Cache = PrefixCache<Float32Array>;

/** Bytes of a position here. */
const WIDTH = 4;
const values = (positions: number) => new Float32Array(positions);
/** Keeps a text, each position's value being its id. */
const keepText = (cache: Cache, key: string, ids: readonly number[]) => {
  const start = cache.newText(key, ids);
  if (start !== null) cache.keepText(key, ids, Float32Array.from(ids.slice(start)));
};
/** The ids that `keepText` kept of what a text begins with. */
const known = (cache: Cache, key: string, ids: readonly number[]) =>
  cache.text(key, ids).flatMap(({ values: kept, length }) => [...kept.subarray(0, length)]);

describe('images in the prefix cache', () => {
  it('are forgotten when its memory is full, what was not used for longest first', () => {
    const cache = new PrefixCache<Float32Array>(30 * WIDTH);
    for (const key of ['a', 'b', 'c']) cache.putImage(key, values(10));
    expect(cache.image('a')).toHaveLength(10);
    cache.putImage('d', values(10));
    expect(cache.image('b')).toBeUndefined();
    for (const key of ['a', 'c', 'd']) expect(cache.image(key), key).toBeDefined();
    expect(cache.memory.bytes).toBe(30 * WIDTH);
    expect(cache.memory).toMatchObject({ hits: 4, misses: 1 });
  });

  it('give way to a larger one, and never hold more than its memory', () => {
    const cache = new PrefixCache<Float32Array>(25 * WIDTH);
    cache.putImage('a', values(10));
    cache.putImage('b', values(10));
    cache.putImage('large', values(20));
    expect(cache.memory.bytes).toBe(20 * WIDTH);
    cache.putImage('too large', values(26));
    expect(cache.image('too large')).toBeUndefined();
    expect(cache.image('large')).toBeDefined();
  });

  it('are kept once', () => {
    const cache = new PrefixCache<Float32Array>(25 * WIDTH);
    cache.putImage('a', values(10));
    cache.putImage('a', values(10));
    expect(cache.memory.bytes).toBe(10 * WIDTH);
  });
});

describe('texts in the prefix cache', () => {
  const filled = (budget = 100) => {
    const cache = new PrefixCache<Float32Array>(budget * WIDTH);
    cache.putImage('a', values(10));
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
    expect(cache.peek('a', ids)).toEqual({ image: true, textPositions: expected.length });
    expect(cache.memory.textPositions).toBe(0);
    expect(known(cache, 'a', ids)).toEqual(expected);
    expect(cache.memory.textPositions).toBe(expected.length);
  });

  it('that part ways again and again are each known whole', () => {
    const random = seededRandom(5);
    const cache = new PrefixCache<Float32Array>(2000 * WIDTH);
    cache.putImage('a', values(1));
    const texts = Array.from({ length: 60 }, () =>
      Array.from({ length: 1 + Math.floor(8 * random()) }, () => Math.floor(3 * random())),
    );
    for (const ids of texts) keepText(cache, 'a', ids);
    for (const ids of texts) expect(known(cache, 'a', ids)).toEqual(ids);
    // Nothing is there twice: a position for each beginning, and one for the image.
    const beginnings = new Set(
      texts.flatMap((ids) => ids.map((_, i) => String(ids.slice(0, i + 1)))),
    );
    expect(cache.memory.bytes).toBe((1 + beginnings.size) * WIDTH);
  });

  it('belong to their image', () => {
    const cache = filled();
    cache.putImage('b', values(10));
    expect(known(cache, 'b', [1, 2, 3])).toEqual([]);
    expect(cache.peek('c', [1, 2, 3])).toEqual({ image: false, textPositions: 0 });
  });

  it('hold only what is new behind what others begin with', () => {
    // 10 of the image, 1 2 3, 4 5, and 9 behind 1 2.
    expect(filled().memory.bytes).toBe(16 * WIDTH);
  });

  it('are not kept without their image', () => {
    const cache = new PrefixCache<Float32Array>(100 * WIDTH);
    keepText(cache, 'a', [1, 2, 3]);
    expect(cache.memory.bytes).toBe(0);
  });

  it('are forgotten before what they stand behind', () => {
    const cache = filled(16);
    expect(known(cache, 'a', [1, 2, 3, 4, 5])).toEqual([1, 2, 3, 4, 5]);
    cache.putImage('b', values(1));
    expect(known(cache, 'a', [1, 2, 9])).toEqual([1, 2]);
    cache.putImage('c', values(2));
    expect(known(cache, 'a', [1, 2, 3, 4, 5])).toEqual([1, 2, 3]);
    cache.putImage('d', values(15));
    expect(cache.peek('a', [1, 2, 3])).toEqual({ image: false, textPositions: 0 });
    expect(cache.memory.bytes).toBeLessThanOrEqual(16 * WIDTH);
  });

  it('and images are given back, each once, when they are forgotten, not taken, or all cleared', () => {
    const given: string[] = [];
    const owned = (name: string, byteLength: number) => ({
      byteLength,
      [Symbol.dispose]: () => {
        given.push(name);
      },
    });
    const cache = new PrefixCache<ReturnType<typeof owned>>(10);
    cache.putImage('a', owned('a', 4));
    cache.putImage('a', owned('a again', 4));
    cache.keepText('b', [1], owned('without its image', 1));
    cache.keepText('a', [1, 2], owned('a12', 2));
    cache.keepText('a', [1, 2, 3], owned('too large behind the others', 5));
    expect(given).toEqual(['a again', 'without its image', 'too large behind the others']);
    cache.putImage('b', owned('b', 6));
    expect(given.slice(3)).toEqual(['a12']);
    cache.clear();
    expect(given.slice(4).sort()).toEqual(['a', 'b']);
    expect(cache.memory.bytes).toBe(0);
  });

  it('never push out what they stand behind', () => {
    const cache = new PrefixCache<Float32Array>(12 * WIDTH);
    cache.putImage('a', values(10));
    keepText(cache, 'a', [1, 2, 3]);
    expect(cache.peek('a', [1, 2, 3])).toEqual({ image: true, textPositions: 0 });
    keepText(cache, 'a', [1, 2]);
    expect(known(cache, 'a', [1, 2, 3])).toEqual([1, 2]);
  });
});
