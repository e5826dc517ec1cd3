import { describe, expect, it } from 'vitest';
import {
  embeddingIdOf,
  embeddingKey,
  imagePathOf,
  imagePathOfEmbeddings,
  imagePrefix,
} from './cache-key.ts';

const IMAGE = 'ab'.repeat(32);
const TENANT = '01'.repeat(16);
const SPACE = { kind: 'query', revision: 'cd'.repeat(32), preprocessing: '1-0123abcd' } as const;

describe('the key of embeddings', () => {
  it('is that of the image where they depend on nothing else', async () => {
    expect(embeddingKey(SPACE, await embeddingIdOf(imagePathOf('', IMAGE)))).toBe(
      `images/shared/${IMAGE}/qf/${SPACE.revision}/1-0123abcd`,
    );
  });

  it('has the hash of the instruction behind it where they depend on one', async () => {
    const lists = [[2, 3], [2, 5, 3], [2, 53], [25, 3], [2, 5 + 2 ** 16, 3], []];
    const path = imagePathOf(TENANT, IMAGE);
    const ids = await Promise.all(lists.map((list) => embeddingIdOf(path, list)));
    const keys = ids.map((id) => embeddingKey(SPACE, id));
    expect(new Set(keys).size).toBe(lists.length);
    for (const key of keys) {
      expect(key).toMatch(/\/1-0123abcd\/[0-9a-f]{64}$/);
      expect(key.length).toBeLessThanOrEqual(512);
    }
    expect(keys[0]).toBe(embeddingKey(SPACE, await embeddingIdOf(path, [2, 3])));
    expect(ids.map(imagePathOfEmbeddings)).toEqual(Array(lists.length).fill(path));
  });

  it('is another in each namespace, and begins as all of the image do', async () => {
    const paths = ['', TENANT, '02'.repeat(16)].map((namespace) => imagePathOf(namespace, IMAGE));
    const keys = await Promise.all(
      paths.flatMap((path) =>
        (['query', 'itc'] as const).map(async (kind) => {
          const key = embeddingKey({ ...SPACE, kind }, await embeddingIdOf(path));
          expect(key.startsWith(imagePrefix(path))).toBe(true);
          return key;
        }),
      ),
    );
    expect(new Set(keys).size).toBe(6);
  });
});
