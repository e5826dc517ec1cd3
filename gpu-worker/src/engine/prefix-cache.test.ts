import { beforeEach, describe, expect, it } from 'vitest';
import { PrefixCache } from './prefix-cache.ts';

type Values = { byteLength: number; [Symbol.dispose]: () => void };
let given: number[] = [];
beforeEach(() => {
  given = [];
});

const values = (count: number): Values => {
  return { byteLength: 4 * count, [Symbol.dispose]: () => given.push(count) };
};

describe('the prefix cache', () => {
  it('forgets what was not used for longest when its memory is full', () => {
    const cache = new PrefixCache<Values>(3 * 40);
    for (const key of ['a', 'b', 'c']) cache.keep(key, values(10));
    expect(cache.get('a')).toBeDefined();
    cache.keep('d', values(10));
    expect(cache.get('b')).toBeUndefined();
    for (const key of ['a', 'c', 'd']) expect(cache.get(key), key).toBeDefined();
    expect(cache.bytes).toBe(120);
    expect(cache.lookups).toEqual({ hits: 4, misses: 1 });
  });

  it('forgets as many as a larger one needs, and never more than its memory', () => {
    const cache = new PrefixCache<Values>(100);
    cache.keep('a', values(10));
    cache.keep('b', values(10));
    cache.keep('large', values(20));
    expect(cache.bytes).toBe(80);
    cache.keep('too large', values(26));
    expect(cache.get('too large')).toBeUndefined();
    expect(cache.get('large')).toBeDefined();
  });

  it('counts a picture once', () => {
    const cache = new PrefixCache<Values>(100);
    cache.keep('a', values(10));
    cache.keep('a', values(10));
    expect(cache.bytes).toBe(40);
  });

  it('gives back what it does not keep, and each once', () => {
    const cache = new PrefixCache<Values>(100);
    cache.keep('a', values(1));
    cache.keep('a', values(2));
    cache.keep('too large', values(26));
    expect(given).toEqual([2, 26]);
    cache.keep('b', values(25));
    expect(given).toEqual([2, 26, 1]);
    cache.clear();
    cache.clear();
    expect(given).toEqual([2, 26, 1, 25]);
    expect(cache.bytes).toBe(0);
  });
});
