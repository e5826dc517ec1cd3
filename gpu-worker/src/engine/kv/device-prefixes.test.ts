/** What a cached prompt costs on a device: each write copies the whole cache, so it is restored by one. */
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { DeviceTensors } from '../../runtime/device-tensors.ts';
import type { Prompt } from '../models/decoder.ts';
import { FAKE_SHAPE, FakeDecoder, logitsOf, promptAbout } from '../testing/fake-decoder.ts';
import { DeviceKvCache } from './device-kv-cache.ts';
import { KvKernels } from './kv-kernels.ts';
import { KvManager } from './kv-manager.ts';

let kernels: KvKernels;
beforeAll(async () => {
  kernels = await KvKernels.open('cpu', FAKE_SHAPE);
});
afterAll(() => kernels.release());
afterEach(() => vi.restoreAllMocks());

function start() {
  const tensors = new DeviceTensors();
  const decoder = new FakeDecoder({ cache: new DeviceKvCache(FAKE_SHAPE, kernels, tensors) });
  const kv = new KvManager(decoder, { prefillChunkTokens: 512, prefixCacheBytes: 2 ** 20 });
  const prefill = async (prompt: Prompt) => {
    const rows = [{ prompt, positions: { start: 0, end: 2 + prompt.ids.length } }];
    const { batch } = await kv.restorePrefixes({ kind: 'prefill', firstSlot: 0, rows });
    using out = await decoder.forward(batch);
    const [logits] = out.logits.map((row) => row.slice());
    await out.commit();
    await kv.storePrefixes(batch, out.keysAndValues);
    return logits;
  };
  return { decoder, kv, tensors, prefill };
}

const upTo = (count: number) => Array.from({ length: count }, (_, i) => 2 + (i % 29));

describe('a prompt on a device', () => {
  it.each([
    ['a token longer each time', (count: number) => upTo(count)],
    ['that leaves the one before at its last token', (count: number) => [...upTo(count), 31]],
  ])('%s is restored by one write', async (_name, idsOf) => {
    const { decoder, kv, tensors, prefill } = start();
    const write = vi.spyOn(kernels, 'write');
    const join = vi.spyOn(kernels, 'join');
    for (let count = 2; count <= 150; count++) {
      const prompt = promptAbout(1, ...idsOf(count));
      write.mockClear();
      join.mockClear();
      expect(await prefill(prompt)).toEqual(logitsOf([1, -1, ...prompt.ids]));
      // The pass itself writes what it has computed.
      expect(write.mock.calls.length, String(count)).toBe(count === 2 ? 1 : 2);
      expect(join.mock.calls.length).toBeLessThanOrEqual(count);
    }
    kv.release();
    await decoder.release();
    expect(tensors.count).toBe(0);
  });

  it('a token longer each time is few pieces', async () => {
    const { prefill } = start();
    const join = vi.spyOn(kernels, 'join');
    for (let count = 2; count <= 400; count++) await prefill(promptAbout(1, ...upTo(count)));
    join.mockClear();
    await prefill(promptAbout(1, ...upTo(401)));
    expect(join.mock.calls.length).toBeLessThanOrEqual(16);
  });
});
