/** Images by namespace in the engine: what one caches is nobody else's, and is gone when it is dropped. */
import { Tensor } from 'onnxruntime-node';
import { expect, it, vi } from 'vitest';
import type { Origin, Pixels } from './protocol.ts';
import { alone, EngineSetup } from './testing/engine-setup.ts';

const [OURS, THEIRS, OTHER] = ['ours/1', 'theirs/1', 'ours/2'];
const caller = { client: '', priority: 'interactive' } as const;
const values = (id: number) => ({ kind: 'embeddings' as const, values: Float32Array.of(id, -id) });

/** Jobs with a prefix cache, all about the embeddings of job 1. */
function engine() {
  const setup = new EngineSetup({ prefixCacheBytes: 1000 });
  const submit = (id: number, image: string, arrivedAt = 0) => {
    const origin: Origin = { image, arrivedAt };
    const source = values(1) as never;
    setup.submit(id, { source, options: { caller, origin } });
  };
  const prefixes = () => {
    const memory = setup.stats.at(-1)?.memory;
    return memory !== undefined && 'prefixes' in memory ? memory.prefixes : undefined;
  };
  return { setup, submit, prefixes };
}

it('a prompt of one namespace is not found by the same one of another', async () => {
  const { setup, submit, prefixes } = engine();
  submit(1, OURS);
  await setup.finish();
  submit(2, THEIRS);
  await setup.finish();
  expect(prefixes()).toMatchObject({ hits: 0, misses: 2, textPositions: 0 });
  submit(3, OURS);
  await setup.finish();
  expect(prefixes()).toMatchObject({ hits: 1 });
  for (const id of [1, 2, 3]) expect(setup.tokensOf(id)).toEqual(await alone(1));
});

it('prompts of two namespaces that run together are computed each', async () => {
  const { setup, submit, prefixes } = engine();
  submit(1, OURS);
  submit(2, THEIRS);
  await setup.finish();
  expect(prefixes()).toMatchObject({ hits: 0, misses: 2 });
});

it('an image that is dropped leaves nothing, and others stay', async () => {
  const { setup, submit, prefixes } = engine();
  for (const [id, image] of [OURS, THEIRS, OTHER].entries()) submit(id, image as string);
  await setup.finish();
  const all = prefixes()?.bytes ?? 0;
  setup.engine.dropImage(OURS as string, 1);
  submit(3, THEIRS as string, 2);
  await setup.finish();
  expect(prefixes()).toMatchObject({ hits: 1, bytes: (all / 3) * 2 });
  submit(4, OURS as string, 2);
  await setup.finish();
  expect(prefixes()).toMatchObject({ hits: 1, bytes: all });
});

it('a job that runs when its image is dropped gets its text, and caches nothing any more', async () => {
  const { setup, submit, prefixes } = engine();
  const reached = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  setup.decoder.gate = () => {
    reached.resolve();
    return gate.promise;
  };
  submit(1, OURS as string, 1);
  const finished = setup.finish();
  await reached.promise;
  submit(2, OURS as string, 1);
  setup.engine.dropImage(OURS as string, 1);
  gate.resolve();
  await finished;
  expect(prefixes()).toMatchObject({ bytes: 0 });
  for (const id of [1, 2]) expect(setup.tokensOf(id)).toEqual(await alone(1));
});

it('image features are those of a namespace, and are dropped', async () => {
  const encode = vi.fn(async (pixels: Float32Array) => new Tensor('float32', pixels, [1, 2]));
  const encoder = { encode, release: async () => {} };
  const setup = new EngineSetup({}, { imageEncoder: { generate: encoder, retrieve: encoder } });
  let id = 0;
  const run = async (image: string, arrivedAt = 0) => {
    const source: Pixels = { kind: 'pixels', key: `${image} 1-a`, pixels: Float32Array.of(1, 2) };
    setup.submit(++id, { source, options: { caller, origin: { image, arrivedAt } } });
    await setup.finish();
    return encode.mock.calls.length;
  };
  expect(await run(OURS as string)).toBe(1);
  expect(await run(OURS as string)).toBe(1);
  expect(await run(THEIRS as string)).toBe(2);
  setup.engine.dropImage(OURS as string, 5);
  expect(await run(THEIRS as string)).toBe(2);
  expect(await run(OURS as string, 4)).toBe(3);
  expect(await run(OURS as string, 6)).toBe(4);
  expect(await run(OURS as string, 7)).toBe(4);
});
