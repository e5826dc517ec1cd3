/** A retrieval model that computes NaN or infinity for one request: that one fails, and the others of the same pass do not. */
import type { Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import type { Job, Pixels } from './protocol.ts';
import { alone, EngineSetup } from './testing/engine-setup.ts';

const NUMBERS = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];

/** The text that the model fails for. */
const BAD = 999;

/** The image's vector is its pixels, a text's (id / 1000, 0); ITM is id / 1000 too. One of them is `number` where it `fails`. */
function setupOf(number: number, fails: 'image' | 'text' | 'itm'): EngineSetup {
  const valueFor = ([id = 0]: readonly number[], of: 'text' | 'itm') =>
    id === BAD && of === fails ? number : id / 1000;
  const retrieval = {
    imageEmbeddings: async ({ data }: Tensor) =>
      (data as Float32Array).map((value) => (fails === 'image' ? number : value)),
    textEmbeddings: async (texts: readonly (readonly number[])[]) =>
      texts.map((ids) => Float32Array.of(valueFor(ids, 'text'), 0)),
    matchProbabilities: async (_: Tensor, texts: readonly (readonly number[])[]) =>
      texts.map((ids) => valueFor(ids, 'itm')),
    release: async () => {},
  };
  return new EngineSetup({}, { retrieval });
}

const image: Pixels = { kind: 'pixels', key: 'image', pixels: Float32Array.of(0.5, -0.5) };

function submit({ engine }: EngineSetup, jobs: Record<number, Job>): void {
  const caller = { client: '', priority: 'interactive' } as const;
  for (const [id, job] of Object.entries(jobs)) engine.submit(Number(id), job, { caller });
}

const FAILED = [{ type: 'failed', slug: 'computation-failed' }];

describe.each(NUMBERS)('a retrieval model that computes %d', (number) => {
  it.each(['text', 'itm'] as const)(
    'as the %s of one comparison with an image fails that one, and no other for the image',
    async (fails) => {
      const setup = setupOf(number, fails);
      setup.submit(9, { source: image });
      submit(setup, {
        1: { kind: 'match', source: image, texts: [[200], [BAD], [300]] },
        2: { kind: 'match', source: image, texts: [[400], [200]] },
        3: { kind: 'embed', source: image, embedding: 'itc' },
      });
      await setup.finish();
      expect(setup.encode).toHaveBeenCalledTimes(1);
      expect(setup.of(1)).toMatchObject(FAILED);
      const scores = [
        { itm: 0.4, itc: 0.5 * Math.fround(0.4) },
        { itm: 0.2, itc: 0.5 * Math.fround(0.2) },
      ];
      expect(setup.of(2)).toMatchObject([{ type: 'scores', scores }, { type: 'done' }]);
      const values = Float32Array.of(0.5, -0.5);
      expect(setup.of(3)).toMatchObject([{ type: 'embeddings', values }, { type: 'done' }]);
      expect(setup.tokensOf(9)).toEqual(await alone(0.5));
    },
  );

  it('as the embedding of a text fails the request of that text, and no other', async () => {
    const setup = setupOf(number, 'text');
    submit(setup, {
      1: { kind: 'embed-texts', texts: [[200], [300], [200], [300], [BAD]] },
      2: { kind: 'embed-texts', texts: [[200], [400]] },
    });
    await setup.finish();
    expect(setup.of(1)).toMatchObject(FAILED);
    const embeddings = [Float32Array.of(0.2, 0), Float32Array.of(0.4, 0)];
    expect(setup.of(2)).toMatchObject([{ type: 'texts', embeddings }, { type: 'done' }]);
  });

  it('as the embeddings of an image fails what needs them, and nothing else for the image', async () => {
    const setup = setupOf(number, 'image');
    submit(setup, {
      1: { kind: 'embed', source: image, embedding: 'itc' },
      2: { kind: 'match', source: image, texts: [[200]] },
      3: { kind: 'embed', source: image, embedding: 'query' },
    });
    await setup.finish();
    expect(setup.encode).toHaveBeenCalledTimes(1);
    for (const id of [1, 2]) expect(setup.of(id)).toMatchObject(FAILED);
    const values = Float32Array.of(0.5, -0.5);
    expect(setup.of(3)).toMatchObject([{ type: 'embeddings', values }, { type: 'done' }]);
  });
});
