/** The isolate's tier of the embedding cache: what it caches, what it evicts, and when entries expire. */
import { describe, expect, it } from 'vitest';
import { RecentEmbeddings } from './recent-embeddings.ts';

const entry = (bytes: number) => ({ embeddings: new Uint8Array(bytes) });

const START = 1_700_000_000_000;

describe('recent embeddings', () => {
  it('are returned as they were put', () => {
    const recent = new RecentEmbeddings(() => START);
    const first = entry(10);
    recent.put('a', first);
    expect(recent.get('a')).toBe(first);
    expect(recent.get('b')).toBeUndefined();
  });

  it('are evicted for others, the least recently used first', () => {
    const recent = new RecentEmbeddings(() => START, 25);
    recent.put('a', entry(10));
    recent.put('b', entry(10));
    recent.get('a');
    recent.put('c', entry(10));
    expect(['a', 'b', 'c'].filter((key) => recent.get(key) !== undefined)).toEqual(['a', 'c']);
  });

  it('larger than the budget are not cached, and evict nothing', () => {
    const recent = new RecentEmbeddings(() => START, 25);
    recent.put('a', entry(10));
    recent.put('b', entry(26));
    expect(['a', 'b'].filter((key) => recent.get(key) !== undefined)).toEqual(['a']);
  });

  it('expire after a minute, however often they are used, since KV may have deleted them', () => {
    let now = START;
    const recent = new RecentEmbeddings(() => now);
    recent.put('a', entry(10));
    now += 60_000;
    expect(recent.get('a')).toBeDefined();
    now += 1;
    expect(recent.get('a')).toBeUndefined();
  });
});
