import { describe, expect, it } from 'vitest';
import { embeddingIdOf, embeddingKey } from './cache-key.ts';

const IMAGE = 'ab'.repeat(32);
const SPACE = { kind: 'query', revision: 'cd'.repeat(32), preprocessing: '1-0123abcd' } as const;

describe('the key of embeddings', () => {
  it('is that of the image where they depend on nothing else', async () => {
    expect(embeddingKey(SPACE, await embeddingIdOf(IMAGE))).toBe(
      `qf/${SPACE.revision}/1-0123abcd/${IMAGE}`,
    );
  });

  it('has the hash of the instruction behind it where they depend on one', async () => {
    const lists = [[2, 3], [2, 5, 3], [2, 53], [25, 3], [2, 5 + 2 ** 16, 3], []];
    const keys = await Promise.all(
      lists.map(async (ids) => embeddingKey(SPACE, await embeddingIdOf(IMAGE, ids))),
    );
    expect(new Set(keys).size).toBe(lists.length);
    for (const key of keys) {
      expect(key).toMatch(new RegExp(`/${IMAGE}/[0-9a-f]{64}$`));
      expect(key.length).toBeLessThanOrEqual(512);
    }
    expect(keys[0]).toBe(embeddingKey(SPACE, await embeddingIdOf(IMAGE, [2, 3])));
  });
});
