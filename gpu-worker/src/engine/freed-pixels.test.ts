/** That an image's pixels are gone once it is encoded: Node shows what is still referred to, after a garbage collection. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Tensor } from 'onnxruntime-node';
import { expect, it } from 'vitest';
import type { Job, Pixels } from './protocol.ts';
import { EngineSetup, exactly } from './testing/engine-setup.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const encoder = {
  encode: async () => new Tensor('float32', Float32Array.of(1, 2), [1, 2]),
  release: async () => {},
};
const retrieval = {
  imageEmbeddings: async () => Float32Array.of(1, 0),
  textEmbeddings: async (texts: readonly (readonly number[])[]) =>
    texts.map(() => Float32Array.of(1, 0)),
  matchProbabilities: async (_: Tensor, texts: readonly (readonly number[])[]) =>
    texts.map(() => 1),
  release: async () => {},
};
const match: Omit<Extract<Job, { kind: 'match' }>, 'source'> = {
  kind: 'match',
  texts: Array.from({ length: 60 }, () => [2, 3]),
};

const IMAGES = 8;
/** V8 itself may have one in a register for a while. */
const BY_CHANCE = 2;

it.each<[string, (setup: EngineSetup, id: number, source: Pixels) => void]>([
  ['generated', (setup, id, source) => setup.submit(id, { source, config: exactly(40) })],
  [
    'compared with many',
    (setup, id, source) =>
      setup.engine.submit(
        id,
        { ...match, source },
        { caller: { client: '', priority: 'interactive' } },
      ),
  ],
])('images are gone before the texts about them are %s', async (_what, submit) => {
  const imageEncoder = { generate: encoder, retrieve: encoder };
  const setup = new EngineSetup({}, { imageEncoder, retrieval });
  const ids = Array.from({ length: IMAGES }, (_, i) => i + 1);
  const images = ids.map((id) => {
    const own = new Float32Array(10_000);
    submit(setup, id, { kind: 'pixels', key: `${id}`, pixels: own });
    return new WeakRef(own);
  });
  // Those that generate get a step between any two images.
  for (let action = 0; action < 3 * IMAGES; action++) await setup.engine.advance();
  await new Promise((resolve) => setImmediate(resolve));
  collectGarbage();
  const left = images.filter((pixels) => pixels.deref() !== undefined);
  expect(left.length).toBeLessThanOrEqual(BY_CHANCE);
  expect(setup.ended).toEqual([]);
  await setup.finish();
  expect(setup.ended.toSorted()).toEqual(ids);
});
