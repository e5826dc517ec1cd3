import { describe, expect, it } from 'vitest';
import { RecentlyUsed } from './recently-used.ts';

describe('what was used recently', () => {
  it('forgets what was not used for longest when its memory is full', () => {
    const cache = new RecentlyUsed<string>(3 * 40);
    for (const key of ['a', 'b', 'c']) cache.keep(key, `of ${key}`, 40);
    expect(cache.get('a')).toBe('of a');
    cache.keep('d', 'of d', 40);
    expect(cache.get('b')).toBeUndefined();
    for (const key of ['a', 'c', 'd']) expect(cache.get(key), key).toBeDefined();
    expect(cache.memory).toEqual({ hits: 4, misses: 1, bytes: 120 });
  });

  it('forgets as many as a larger one needs, and never more than its memory', () => {
    const cache = new RecentlyUsed<string>(100);
    cache.keep('a', 'of a', 40);
    cache.keep('b', 'of b', 40);
    cache.keep('large', 'of large', 80);
    expect(cache.memory.bytes).toBe(80);
    cache.keep('too large', 'of too large', 104);
    expect(cache.get('too large')).toBeUndefined();
    expect(cache.get('large')).toBeDefined();
  });

  it('counts an image once', () => {
    const cache = new RecentlyUsed<string>(100);
    cache.keep('a', 'of a', 40);
    cache.keep('a', 'of a', 40);
    expect(cache.memory.bytes).toBe(40);
  });
});
