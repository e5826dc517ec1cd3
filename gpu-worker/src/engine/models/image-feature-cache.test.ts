import { Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import type { VisionRunner } from './image-encoder.ts';
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
const [shared, other] = [{} as VisionRunner, {} as VisionRunner];
const both = { generate: shared, retrieve: shared };

describe('images that were seen', () => {
  it('are not looked at again by the model that shares the encoder', async () => {
    const [seen, { encode, runs }] = [new ImageFeatureCache(both), encoder()];
    const first = await seen.features({ encode }, pixelsOf('a'));
    expect(await seen.features({ encode }, pixelsOf('a'))).toBe(first);
    await seen.features({ encode }, pixelsOf('bb'));
    expect(runs()).toBe(2);
    expect(seen.memory).toEqual({ hits: 1, misses: 2, bytes: 80 });
  });

  it('are forgotten when others need their memory', async () => {
    const [seen, { encode, runs }] = [new ImageFeatureCache(both, 100), encoder()];
    for (const key of ['a', 'bb', 'ccc', 'a']) await seen.features({ encode }, pixelsOf(key));
    expect(runs()).toBe(4);
    expect(seen.memory.bytes).toBe(80);
  });

  it.each([
    ['with one model', { generate: shared }],
    ['with two encoders', { generate: shared, retrieve: other }],
  ])('are not kept %s', async (_, vision) => {
    const [seen, { encode, runs }] = [new ImageFeatureCache(vision), encoder()];
    for (let i = 0; i < 2; i++) await seen.features({ encode }, pixelsOf('a'));
    expect(runs()).toBe(2);
    expect(seen.memory).toEqual({ hits: 0, misses: 2, bytes: 0 });
  });

  it('are looked at again after a run that failed', async () => {
    const seen = new ImageFeatureCache(both);
    const encode = () => Promise.reject(new Error('no memory'));
    await expect(seen.features({ encode }, pixelsOf('a'))).rejects.toThrow('no memory');
    const working = encoder();
    await seen.features(working, pixelsOf('a'));
    expect(working.runs()).toBe(1);
  });
});
