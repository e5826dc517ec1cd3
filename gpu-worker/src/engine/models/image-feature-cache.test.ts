import { Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import type { ImageEncoder } from './image-encoder.ts';
import { ImageFeatureCache } from './image-feature-cache.ts';

/** An image encoder that counts its runs. */
function encoder() {
  let runs = 0;
  const encode = async (pixels: Float32Array) => {
    runs += 1;
    return new Tensor('float32', pixels.slice(), [1, pixels.length]);
  };
  return { encode, runs: () => runs };
}

const pixelsOf = (key: string) =>
  ({ kind: 'pixels', key, pixels: new Float32Array(10).fill(key.length) }) as const;
const [shared, other] = [{} as ImageEncoder, {} as ImageEncoder];
const qformer = { readsInstruction: false };
const both = { imageEncoder: { generate: shared, retrieve: shared }, qformer };

describe('the image features', () => {
  it('are computed once for two models that share the encoder', async () => {
    const [cache, { encode, runs }] = [new ImageFeatureCache(both), encoder()];
    const first = await cache.features({ encode }, pixelsOf('a'));
    expect(await cache.features({ encode }, pixelsOf('a'))).toBe(first);
    await cache.features({ encode }, pixelsOf('bb'));
    expect(runs()).toBe(2);
    expect(cache.stats).toEqual({ hits: 1, misses: 2, bytes: 80 });
  });

  it('are evicted for others, the least recently used first', async () => {
    const [cache, { encode, runs }] = [new ImageFeatureCache(both, 100), encoder()];
    for (const key of ['a', 'bb', 'a', 'ccc']) await cache.features({ encode }, pixelsOf(key));
    expect(runs()).toBe(3);
    await cache.features({ encode }, pixelsOf('a'));
    expect(runs()).toBe(3);
    await cache.features({ encode }, pixelsOf('bb'));
    expect(runs()).toBe(4);
    expect(cache.stats).toEqual({ hits: 2, misses: 4, bytes: 80 });
  });

  it('larger than the budget are computed each time', async () => {
    const [cache, { encode, runs }] = [new ImageFeatureCache(both, 39), encoder()];
    for (let i = 0; i < 2; i++) await cache.features({ encode }, pixelsOf('a'));
    expect(runs()).toBe(2);
    expect(cache.stats).toEqual({ hits: 0, misses: 2, bytes: 0 });
  });

  it.each([
    ['with one model', { generate: shared }],
    ['with two encoders', { generate: shared, retrieve: other }],
  ])('are not cached %s', async (_, imageEncoder) => {
    const [cache, { encode, runs }] = [new ImageFeatureCache({ imageEncoder, qformer }), encoder()];
    for (let i = 0; i < 2; i++) await cache.features({ encode }, pixelsOf('a'));
    expect(runs()).toBe(2);
    expect(cache.stats).toEqual({ hits: 0, misses: 2, bytes: 0 });
  });

  it('are computed once for all instructions of one model', async () => {
    const models = { imageEncoder: { generate: shared }, qformer: { readsInstruction: true } };
    const [cache, { encode, runs }] = [new ImageFeatureCache(models), encoder()];
    for (let i = 0; i < 2; i++) await cache.features({ encode }, pixelsOf('a'));
    expect(runs()).toBe(1);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])(
    'are refused and never cached where one of them is %s',
    async (value) => {
      const cache = new ImageFeatureCache(both);
      const encode = async () => new Tensor('float32', Float32Array.of(1, value), [1, 2]);
      await expect(cache.features({ encode }, pixelsOf('a'))).rejects.toMatchObject({
        slug: 'computation-failed',
      });
      expect(cache.stats.bytes).toBe(0);
      const working = encoder();
      await cache.features(working, pixelsOf('a'));
      expect(working.runs()).toBe(1);
    },
  );

  it('are computed again after a run that failed', async () => {
    const cache = new ImageFeatureCache(both);
    const encode = () => Promise.reject(new Error('no memory'));
    await expect(cache.features({ encode }, pixelsOf('a'))).rejects.toThrow('no memory');
    const working = encoder();
    await cache.features(working, pixelsOf('a'));
    expect(working.runs()).toBe(1);
  });
});
