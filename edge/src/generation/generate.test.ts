/** The core without any route: what an adapter of another dialect would call. */
import { ApiError } from '@blip2/shared/errors';
import type { GenerationOptions } from '@blip2/shared/generation/generation-options';
import { preparePrompt } from '@blip2/shared/generation/prepare-prompt';
import type { ServedModels } from '@blip2/shared/served-models';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Dependencies } from '../dependencies.ts';
import { locateEmbeddings } from '../embeddings/resolve-embeddings.ts';
import { resolveImage } from '../image/image-source.ts';
import type { RequestContext } from '../request-context.ts';
import { newImage, startEdge, type TestEdge, testContext } from '../testing/edge.ts';
import { generative } from '../testing/models.ts';
import { type Delta, type Generation, generate } from './generate.ts';

let edge: TestEdge;
let bytes: Uint8Array<ArrayBuffer>;
beforeEach(() => {
  edge = startEdge();
  bytes = newImage();
});

async function start(
  deps: Dependencies,
  options: GenerationOptions = {},
  context: RequestContext = testContext().context,
) {
  const prompt = preparePrompt(deps, { text: 'a photo of' }, options);
  const input = await resolveImage(deps, { kind: 'bytes', bytes }, context);
  const image = await locateEmbeddings(deps.stores.query, input, context);
  return { id: input.id, deltas: generate(deps, { image, prompt }, context) };
}

const all = async (deps: Dependencies, options?: GenerationOptions): Promise<Delta[]> =>
  Array.fromAsync((await start(deps, options)).deltas);

const wholeOf = (deltas: readonly Delta[]): Generation | undefined => {
  const last = deltas.at(-1);
  return last?.type === 'done' ? last.generation : undefined;
};

describe('a generation', () => {
  it('is the image, deltas of the text, and the whole', async () => {
    const { id, deltas } = await start(edge.deps);
    const [image, ...rest] = await Array.fromAsync(deltas);
    expect(image).toEqual({
      type: 'image',
      image: { sha256: id, width: 40, height: 30, format: 'png' },
      cache: 'miss',
    });
    const texts = rest.filter(({ type }) => type === 'delta');
    expect(texts.length).toBe(rest.length - 1);
    const text = texts.map((delta) => (delta.type === 'delta' ? delta.text : '')).join('');
    expect(wholeOf(rest)).toMatchObject({ text, finish_reason: 'stop', cache: 'miss' });
    expect(text).toBe('a red dog');
  });

  it('about a cached image reports the hit, and sends the embeddings only', async () => {
    await all(edge.deps);
    await edge.settled();
    expect(wholeOf(await all(edge.deps))).toMatchObject({ text: 'a red dog', cache: 'colo' });
    expect(edge.gpu.received.map(({ with: source }) => source)).toEqual(['image', 'embeddings']);
  });

  it('has a random seed where the request gives none', async () => {
    const { deps, gpu } = startEdge({ platform: { randomSeed: () => 99 } });
    await all(deps);
    await all(deps, { seed: 5 });
    const seeds = gpu.received.map(({ request }) => {
      return request.kind === 'generate' && request.generation.seed;
    });
    expect(seeds).toEqual([99, 5]);
  });

  it('follows the checkpoint where the request says nothing, and else the request', () => {
    const defaults = { num_beams: 3, repetition_penalty: 1.5 };
    const models: ServedModels = { generate: { ...generative, generation: defaults } };
    const { deps } = startEdge({ models });
    expect(preparePrompt(deps, { text: 'a' }, {}).generation).toMatchObject(defaults);
    const asked = { temperature: 0.5, repetition_penalty: 1 };
    expect(preparePrompt(deps, { text: 'a' }, asked).generation).toMatchObject({
      num_beams: 1,
      ...asked,
    });
  });

  it('has as many tokens as the model has positions left', async () => {
    const max_positions = generative.num_query_tokens + 10;
    const models: ServedModels = {
      generate: { ...generative, max_positions, generation: { min_tokens: 20 } },
    };
    const { deps } = startEdge({ models });
    const { inputIds, generation } = preparePrompt(deps, { text: 'a' }, {});
    const room = 10 - inputIds.length;
    expect(generation).toMatchObject({ max_tokens: room, min_tokens: room });
    const asking = (max_tokens: number) => () => preparePrompt(deps, { text: 'a' }, { max_tokens });
    expect(asking(room)().generation.max_tokens).toBe(room);
    expect(asking(room + 1)().generation.max_tokens).toBe(room);
    const atLeast = () => preparePrompt(deps, { text: 'a' }, { min_tokens: room + 1 });
    expect(atLeast).toThrow(`min_tokens: must be at most max_tokens, which is ${room}.`);
    const tooLong = () => preparePrompt(deps, { text: 'a dog '.repeat(10) }, {});
    expect(tooLong).toThrow(expect.objectContaining({ slug: 'prompt-too-long' }));
  });

  it('ends at the GPU worker when its reader leaves', async () => {
    edge.gpu.script.text = ' a red dog on a mat, and more and more';
    const { deltas } = await start(edge.deps);
    for await (const delta of deltas) if (delta.type === 'delta') break;
    await edge.gpu.untilCanceled(1);
  });

  it('is a bad gateway when the worker does not report how a text ended', async () => {
    edge.gpu.script.forgetChoices = true;
    await expect(all(edge.deps)).rejects.toMatchObject({ slug: 'bad-gateway' });
  });

  it('is refused when the clock has passed its deadline', async () => {
    const { deps } = startEdge({ platform: { now: () => 5_000 } });
    const { context } = testContext({ deadlineAt: 5_000 });
    const { deltas } = await start(deps, {}, context);
    await expect(deltas.next()).rejects.toEqual(
      new ApiError('deadline-exceeded', 'No time was left for the GPU worker.'),
    );
  });
});
