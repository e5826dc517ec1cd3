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

it.each<[string, (setup: EngineSetup, source: Pixels) => void]>([
  ['generated', (setup, source) => setup.submit(1, { source, config: exactly(40) })],
  [
    'compared with many',
    (setup, source) =>
      setup.engine.submit(
        1,
        { ...match, source },
        { caller: { client: '', priority: 'interactive' } },
      ),
  ],
])('an image is gone before the texts about it are %s', async (_what, submit) => {
  const imageEncoder = { generate: encoder, retrieve: encoder };
  const setup = new EngineSetup({}, { imageEncoder, retrieval });
  const pixels = (() => {
    const own = new Float32Array(10_000);
    submit(setup, { kind: 'pixels', key: 'a', pixels: own });
    return new WeakRef(own);
  })();
  for (let action = 0; action < 4; action++) await setup.engine.advance();
  await new Promise((resolve) => setImmediate(resolve));
  collectGarbage();
  expect(pixels.deref()).toBeUndefined();
  expect(setup.of(1).some(({ type }) => type === 'done')).toBe(false);
  await setup.finish();
  expect(setup.ended).toEqual([1]);
});
