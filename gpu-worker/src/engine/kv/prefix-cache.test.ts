import { describe, expect, it } from 'vitest';
import { seededRandom } from '../decoding/sample-token.ts';
import { PrefixCache, type Priority } from './prefix-cache.ts';

type Cache = PrefixCache<Float32Array>;

/** Bytes of a position here. */
const WIDTH = 4;
const values = (positions: number) => new Float32Array(positions);
/** Caches a text, each position's value being its id. */
const putText = (cache: Cache, key: string, ids: readonly number[]) => {
  const start = cache.uncachedText(key, ids);
  if (start !== null) cache.putText(key, ids, Float32Array.from(ids.slice(start)));
};
/** The ids that `putText` cached of what a text begins with. */
const cachedIds = (cache: Cache, key: string, ids: readonly number[]) =>
  cache.text(key, ids).flatMap(({ values: ids, length }) => [...ids.subarray(0, length)]);

describe('images in the prefix cache', () => {
  it('are evicted when the budget is used up, the least recently used first', () => {
    const cache = new PrefixCache<Float32Array>(30 * WIDTH);
    for (const key of ['a', 'b', 'c']) cache.putImage(key, values(10));
    expect(cache.image('a')).toHaveLength(10);
    cache.putImage('d', values(10));
    expect(cache.image('b')).toBeUndefined();
    for (const key of ['a', 'c', 'd']) expect(cache.image(key), key).toBeDefined();
    expect(cache.stats.bytes).toBe(30 * WIDTH);
    expect(cache.stats).toMatchObject({ hits: 4, misses: 1 });
  });

  it('are evicted for a larger one, and never exceed the budget', () => {
    const cache = new PrefixCache<Float32Array>(25 * WIDTH);
    cache.putImage('a', values(10));
    cache.putImage('b', values(10));
    cache.putImage('large', values(20));
    expect(cache.stats.bytes).toBe(20 * WIDTH);
    cache.putImage('too large', values(26));
    expect(cache.image('too large')).toBeUndefined();
    expect(cache.image('large')).toBeDefined();
  });

  it('are cached once', () => {
    const cache = new PrefixCache<Float32Array>(25 * WIDTH);
    cache.putImage('a', values(10));
    cache.putImage('a', values(10));
    expect(cache.stats.bytes).toBe(10 * WIDTH);
  });
});

describe('what background work caches', () => {
  it('makes room for nothing that somebody has waited for, and goes first', () => {
    const cache = new PrefixCache<Float32Array>(40 * WIDTH);
    cache.putImage('job 1', values(10), 'background');
    for (const key of ['a', 'b']) cache.putImage(key, values(10));
    for (const key of ['job 2', 'job 3', 'job 4']) {
      cache.putImage(key, values(10), 'background');
    }
    const cached = (keys: string[]) => keys.filter((key) => cache.peek(key, []).image);
    // Among itself the least recently used goes.
    expect(cached(['job 1', 'job 2', 'job 3', 'job 4', 'a', 'b'])).toEqual([
      'job 3',
      'job 4',
      'a',
      'b',
    ]);
    cache.putImage('c', values(20));
    expect(cached(['job 3', 'job 4', 'a', 'b', 'c'])).toEqual(['a', 'b', 'c']);
    cache.putImage('job 5', values(10), 'background');
    expect(cached(['a', 'b', 'c', 'job 5'])).toEqual(['a', 'b', 'c']);
  });

  it('stays once somebody has asked about it', () => {
    const cache = new PrefixCache<Float32Array>(30 * WIDTH);
    cache.putImage('asked', values(10), 'background');
    cache.putText('asked', [1, 2], Float32Array.of(1, 2), 'background');
    expect(cache.text('asked', [1, 2, 3])).toHaveLength(1);
    for (let i = 0; i < 5; i++) cache.putImage(`job ${i}`, values(15), 'background');
    expect(cache.peek('asked', [1, 2])).toEqual({ image: true, textPositions: 2 });
    // Its image too, which comes before the text.
    for (let i = 0; i < 5; i++) cache.putImage(`job ${i}`, values(18), 'background');
    expect(cachedIds(cache, 'asked', [1, 2])).toEqual([1, 2]);
  });

  it('has room behind an image that somebody else asked about', () => {
    const cache = new PrefixCache<Float32Array>(20 * WIDTH);
    cache.putImage('a', values(10));
    cache.putImage('job', values(8), 'background');
    cache.putText('a', [1, 2, 3], Float32Array.of(1, 2, 3), 'background');
    expect(cache.peek('a', [1, 2, 3])).toEqual({ image: true, textPositions: 3 });
    expect(cache.peek('job', []).image).toBe(false);
    cache.putImage('b', values(10));
    expect(cache.peek('a', [1, 2, 3])).toEqual({ image: true, textPositions: 0 });
    expect(cache.stats.bytes).toBe(20 * WIDTH);
  });
});

describe('texts in the prefix cache', () => {
  const filled = (budget = 100) => {
    const cache = new PrefixCache<Float32Array>(budget * WIDTH);
    cache.putImage('a', values(10));
    putText(cache, 'a', [1, 2, 3]);
    putText(cache, 'a', [1, 2, 3, 4, 5]);
    putText(cache, 'a', [1, 2, 9]);
    return cache;
  };

  it.each([
    ['that was cached is found', [1, 2, 3, 4, 5], [1, 2, 3, 4, 5]],
    ['that continues is found as far as it was cached', [1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5]],
    ['that ends within another is found', [1, 2, 3, 4], [1, 2, 3, 4]],
    ['that leaves another is found up to there', [1, 2, 3, 4, 8], [1, 2, 3, 4]],
    ['that has most in common with a later one is found from that', [1, 2, 9, 9], [1, 2, 9]],
    ['that begins otherwise is not found', [2, 3], []],
    ['without ids is not found', [], []],
  ])('one %s', (_, ids, expected) => {
    const cache = filled();
    expect(cache.peek('a', ids)).toEqual({ image: true, textPositions: expected.length });
    expect(cache.stats.textPositions).toBe(0);
    expect(cachedIds(cache, 'a', ids)).toEqual(expected);
    expect(cache.stats.textPositions).toBe(expected.length);
  });

  it('that diverge again and again are each found whole', () => {
    const random = seededRandom(5);
    const cache = new PrefixCache<Float32Array>(2000 * WIDTH);
    cache.putImage('a', values(1));
    const texts = Array.from({ length: 60 }, () =>
      Array.from({ length: 1 + Math.floor(8 * random()) }, () => Math.floor(3 * random())),
    );
    for (const ids of texts) putText(cache, 'a', ids);
    for (const ids of texts) expect(cachedIds(cache, 'a', ids)).toEqual(ids);
    // Nothing is cached twice: a position for each beginning, and one for the image.
    const beginnings = new Set(
      texts.flatMap((ids) => ids.map((_, i) => String(ids.slice(0, i + 1)))),
    );
    expect(cache.stats.bytes).toBe((1 + beginnings.size) * WIDTH);
  });

  it('belong to their image', () => {
    const cache = filled();
    cache.putImage('b', values(10));
    expect(cachedIds(cache, 'b', [1, 2, 3])).toEqual([]);
    expect(cache.peek('c', [1, 2, 3])).toEqual({ image: false, textPositions: 0 });
  });

  it('have only their new segment cached where another begins alike', () => {
    // 10 of the image, 1 2 3, 4 5, and 9 behind 1 2.
    expect(filled().stats.bytes).toBe(16 * WIDTH);
  });

  it('are not cached without their image', () => {
    const cache = new PrefixCache<Float32Array>(100 * WIDTH);
    putText(cache, 'a', [1, 2, 3]);
    expect(cache.stats.bytes).toBe(0);
  });

  it('are evicted before their parents', () => {
    const cache = filled(16);
    expect(cachedIds(cache, 'a', [1, 2, 3, 4, 5])).toEqual([1, 2, 3, 4, 5]);
    cache.putImage('b', values(1));
    expect(cachedIds(cache, 'a', [1, 2, 9])).toEqual([1, 2]);
    cache.putImage('c', values(2));
    expect(cachedIds(cache, 'a', [1, 2, 3, 4, 5])).toEqual([1, 2, 3]);
    cache.putImage('d', values(15));
    expect(cache.peek('a', [1, 2, 3])).toEqual({ image: false, textPositions: 0 });
    expect(cache.stats.bytes).toBeLessThanOrEqual(16 * WIDTH);
  });

  it('and images are freed, each once, when they are evicted, refused, or all cleared', () => {
    const freed: string[] = [];
    const owned = (name: string, byteLength: number) => ({
      byteLength,
      [Symbol.dispose]: () => {
        freed.push(name);
      },
    });
    const cache = new PrefixCache<ReturnType<typeof owned>>(10);
    cache.putImage('a', owned('a', 4));
    cache.putImage('a', owned('a again', 4));
    cache.putText('b', [1], owned('without its image', 1));
    cache.putText('a', [1, 2], owned('a12', 2));
    cache.putText('a', [1, 2, 3], owned('too large behind the others', 5));
    expect(freed).toEqual(['a again', 'without its image', 'too large behind the others']);
    cache.putImage('b', owned('b', 6));
    expect(freed.slice(3)).toEqual(['a12']);
    cache.clear();
    expect(freed.slice(4).sort()).toEqual(['a', 'b']);
    expect(cache.stats.bytes).toBe(0);
  });

  it('never evict their parents', () => {
    const cache = new PrefixCache<Float32Array>(12 * WIDTH);
    cache.putImage('a', values(10));
    putText(cache, 'a', [1, 2, 3]);
    expect(cache.peek('a', [1, 2, 3])).toEqual({ image: true, textPositions: 0 });
    putText(cache, 'a', [1, 2]);
    expect(cachedIds(cache, 'a', [1, 2, 3])).toEqual([1, 2]);
  });
});

describe('short segments in the prefix cache', () => {
  /** As a text is cached that a pass has computed: behind a short end, in one segment with it. */
  const store = (cache: Cache, ids: readonly number[], priority?: Priority) => {
    const start = cache.uncachedText('a', ids);
    if (start === null) return;
    const before = cache.shortEnd('a', ids, priority);
    const own = ids.slice(start);
    if (before === null) cache.putText('a', ids, Float32Array.from(own), priority);
    else cache.extendText('a', ids, Float32Array.from([...before.values, ...own]), priority);
  };
  const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
  const filled = (budget = 3000) => {
    const cache = new PrefixCache<Float32Array>(budget * WIDTH);
    cache.putImage('a', values(1));
    return cache;
  };

  it('are few, however often a text comes to be a little longer', () => {
    const cache = filled();
    for (let count = 1; count <= 400; count++) {
      const ids = upTo(count);
      store(cache, ids);
      expect(cachedIds(cache, 'a', ids)).toEqual(ids);
      expect(cache.text('a', ids).length).toBe(Math.ceil(count / 32));
      expect(cache.stats.bytes).toBe((1 + count) * WIDTH);
    }
  });

  it('leave what branched off before, and what comes later, where it is', () => {
    const random = seededRandom(8);
    const cache = filled(20_000);
    const texts: number[][] = [[]];
    for (let i = 0; i < 300; i++) {
      const from = texts[Math.floor(random() * texts.length)]!;
      const length = Math.floor(random() * (from.length + 1));
      const more = Array.from({ length: 1 + Math.floor(9 * random()) }, () =>
        Math.floor(4 * random()),
      );
      texts.push([...from.slice(0, length), ...more]);
      store(cache, texts.at(-1)!);
    }
    for (const ids of texts) expect(cachedIds(cache, 'a', ids)).toEqual(ids);
    const beginnings = new Set(
      texts.flatMap((ids) => ids.map((_, i) => String(ids.slice(0, i + 1)))),
    );
    expect(cache.stats.bytes).toBe((1 + beginnings.size) * WIDTH);
  });

  it('are not joined with long ones, with the image, or from within', () => {
    const cache = filled();
    expect(cache.shortEnd('a', [1])).toBeNull();
    expect(cache.shortEnd('b', [1])).toBeNull();
    store(cache, upTo(3));
    expect(cache.shortEnd('a', [1, 2, 9])).toBeNull();
    expect(cache.shortEnd('a', upTo(3 + 32))).toBeNull();
    expect(cache.shortEnd('a', upTo(3 + 31))).toMatchObject({ length: 3 });
    store(cache, upTo(3 + 31));
    expect(cache.shortEnd('a', upTo(70))).toBeNull();
  });

  it('of the background are not added to what others have used', () => {
    const cache = filled();
    store(cache, [1]);
    expect(cache.shortEnd('a', [1, 2], 'background')).toBeNull();
    store(cache, [1, 2], 'background');
    expect(cache.shortEnd('a', [1, 2, 3], 'background')).toMatchObject({ length: 1 });
    expect(cache.shortEnd('a', [1, 2, 3])).toMatchObject({ length: 1 });
  });

  it('have nothing added for which there is no room, and are freed once', () => {
    const freed: string[] = [];
    const owned = (name: string, byteLength: number) => ({
      byteLength,
      [Symbol.dispose]: () => {
        freed.push(name);
      },
    });
    const cache = new PrefixCache<ReturnType<typeof owned>>(10);
    cache.putImage('a', owned('image', 4));
    cache.putText('a', [1], owned('1', 2));
    cache.extendText('a', [1, 2], owned('12', 4));
    expect(freed).toEqual(['1']);
    cache.extendText('a', [1, 2, 3], owned('too large', 7));
    expect(freed).toEqual(['1', 'too large']);
    expect(cache.peek('a', [1, 2, 3])).toEqual({ image: true, textPositions: 2 });
    expect(cache.stats.bytes).toBe(8);
    cache.clear();
    expect(freed.slice(2).sort()).toEqual(['12', 'image']);
    expect(cache.stats.bytes).toBe(0);
  });

  it('that branch off again and again are found as well, thousands of them', () => {
    const cache = filled(100_000);
    const count = 2000;
    // Each leaves the one before within it: none can be joined.
    for (let i = 1; i <= count; i++) store(cache, [...upTo(i), 0]);
    const found = cache.text('a', upTo(count));
    expect(found.map(({ length }) => length)).toEqual(Array(count).fill(1));
  });
});

describe('changes of the prefix cache', () => {
  it('are the images of which more or less is cached, each reported once', () => {
    const cache = new PrefixCache<Float32Array>(20 * WIDTH);
    expect(cache.drainChanges()).toEqual(new Set());
    cache.putImage('a', values(10));
    putText(cache, 'a', [1, 2]);
    expect(cache.drainChanges()).toEqual(new Set(['a']));
    expect(cache.drainChanges()).toEqual(new Set());
    cache.putImage('a', values(10));
    cachedIds(cache, 'a', [1, 2]);
    expect(cache.drainChanges()).toEqual(new Set());
    // Makes room where the text was.
    cache.putImage('b', values(10));
    expect(cache.drainChanges()).toEqual(new Set(['a', 'b']));
    cache.clear();
    expect(cache.drainChanges()).toEqual(new Set(['a', 'b']));
  });
});
