/** The isolate's own tier of the embedding cache: what it holds, and what it lets go. */
import { describe, expect, it } from 'vitest';
import { RecentEmbeddings } from './recent-embeddings.ts';

const entry = (bytes: number) => ({ embeddings: new Uint8Array(bytes) });

describe('recent embeddings', () => {
  it('are the very ones that were put', () => {
    const recent = new RecentEmbeddings();
    const first = entry(10);
    recent.put('a', first);
    expect(recent.get('a')).toBe(first);
    expect(recent.get('b')).toBeUndefined();
  });

  it('used longest ago make room for others', () => {
    const recent = new RecentEmbeddings(25);
    recent.put('a', entry(10));
    recent.put('b', entry(10));
    recent.get('a');
    recent.put('c', entry(10));
    expect(['a', 'b', 'c'].map((key) => recent.get(key) !== undefined)).toEqual([
      true,
      false,
      true,
    ]);
  });

  it('larger than all the room are not held, and displace nothing', () => {
    const recent = new RecentEmbeddings(25);
    recent.put('a', entry(10));
    recent.put('b', entry(26));
    expect(['a', 'b'].map((key) => recent.get(key) !== undefined)).toEqual([true, false]);
  });
});
