/** An engine whose keys and values are on a device without room for all: who needs more than there is fails alone. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DeviceTensors } from '../runtime/device-tensors.ts';
import { DeviceKvCache } from './kv/device-kv-cache.ts';
import { KvKernels } from './kv/kv-kernels.ts';
import { alone, EngineSetup, exactly, type Generation } from './testing/engine-setup.ts';
import { FAKE_SHAPE, FakeDecoder } from './testing/fake-decoder.ts';
import { limitedKernels } from './testing/limited-kernels.ts';

let kernels: KvKernels;
beforeAll(async () => {
  kernels = await KvKernels.open('cpu', FAKE_SHAPE);
});
afterAll(() => kernels.release());

/** @param most slots times positions */
function start(most: number): EngineSetup {
  const cache = new DeviceKvCache(FAKE_SHAPE, limitedKernels(kernels, most), new DeviceTensors());
  return new EngineSetup({ maxSlots: 16 }, { decoder: new FakeDecoder({ cache }) });
}

const failed = { type: 'failed', slug: 'computation-failed' };
const short: Generation = { config: exactly(20) };

describe('a device without room for', () => {
  it('the positions of one text ends that one, and all beside and behind it are served', async () => {
    const setup = start(4 * 64);
    setup.submit(0, { config: exactly(300) });
    let others = 0;
    // Never idle: nothing else resets the cache.
    while (others < 40) {
      if (others - setup.ended.length < 3) setup.submit(++others, short);
      await setup.engine.advance();
    }
    await setup.finish();
    const cause = { message: 'no room for 4 x 128' };
    expect(setup.of(0).at(-1)).toMatchObject({ ...failed, error: { cause } });
    expect(setup.ended).toHaveLength(others);
    for (const id of setup.ended) expect(setup.tokensOf(id)).toEqual(await alone(id, short));
  });

  it.each<[string, Generation]>([
    ['eight samples', { config: { n: 8, temperature: 1, seed: 3, ...exactly(20) } }],
    ['eight beams', { config: { num_beams: 8, n: 8, ...exactly(20) } }],
  ])('the slots of %s ends these, and those that run get the same tokens', async (_name, wide) => {
    const setup = start(4 * 64);
    // They end one after another, and the last slot takes the place of the one that ended.
    const lengths = [12, 7, 30];
    for (const [id, length] of lengths.entries()) setup.submit(id, { config: exactly(length) });
    for (let i = 0; i < 3; i++) await setup.engine.advance();
    setup.submit(8, wide);
    await setup.finish();
    setup.submit(9, short);
    await setup.finish();
    expect(setup.of(8).at(-1)).toMatchObject(failed);
    for (const [id, length] of lengths.entries()) {
      expect(setup.tokensOf(id)).toEqual(await alone(id, { config: exactly(length) }));
    }
    expect(setup.tokensOf(9)).toEqual(await alone(9, short));
  });

  it('those who begin together ends the last of them, and the others begin', async () => {
    const setup = start(4 * 64);
    for (let id = 0; id < 6; id++) setup.submit(id, short);
    await setup.finish();
    expect(setup.ended).toEqual([0, 1, 2, 3]);
    for (const id of setup.ended) expect(setup.tokensOf(id)).toEqual(await alone(id, short));
    for (const id of [4, 5]) expect(setup.of(id)).toMatchObject([failed]);
  });
});
