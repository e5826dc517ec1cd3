/** InstructBLIP: embeddings and texts of transformers for its checkpoints (golden/make/instruct_checkpoints.py). */
import { readFile } from 'node:fs/promises';
import { ensureBundle, readGenerativeManifest } from '@blip2/gpu-worker/builder/index';
import {
  type EngineModels,
  loadModels,
  releaseModels,
} from '@blip2/gpu-worker/engine/models/load-models';
import { QFormer } from '@blip2/gpu-worker/engine/models/qformer';
import { type GraphSession, openGraph } from '@blip2/gpu-worker/runtime/session';
import { int64Tensor, paddedIds } from '@blip2/gpu-worker/runtime/tensors';
import type { GenerativeManifest } from '@blip2/shared/bundle-manifest';
import { DEFAULT_INSTRUCTION } from '@blip2/shared/prompts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { postJson } from '../../tools/api.ts';
import { leastCosine } from '../../tools/eval/cosine.ts';
import { INSTRUCT_CASES, readInstructGolden, rowOf } from '../../tools/eval/goldens.ts';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { expectSame, maxDifference } from '../support/difference.ts';
import { PROVIDER } from '../support/provider.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { rowTensor } from '../support/tensors.ts';

const TOLERANCE = 1e-4;

/** What transformers gives; `greedy` has one reply of each image and text. */
function expectationsOf(name: (typeof INSTRUCT_CASES)[number]) {
  const golden = readInstructGolden(name);
  const greedy = golden.replies.filter(({ settings }) => settings.num_beams === undefined);
  const [images = 0, texts = 0, ...rest] = golden.queryEmbeddings.shape;
  const pairs = { ...golden.queryEmbeddings, shape: [images * texts, ...rest] };
  return {
    golden,
    greedy,
    texts,
    features: (index: number) => rowTensor(golden.imageFeatures, Math.floor(index / texts)),
    expected: (index: number) => rowOf(pairs, index),
  };
}

describe.each(INSTRUCT_CASES)('the bundle of the random checkpoint "%s"', (name) => {
  const { golden, greedy, texts, features, expected } = expectationsOf(name);
  const bundles = temporaryFolder();
  let manifest: GenerativeManifest;
  let models: EngineModels;
  let qformer: GraphSession<GenerativeManifest['graphs']['qformer']>;
  beforeAll(async () => {
    const bundle = await ensureBundle(golden.checkpoint, { bundles });
    manifest = await readGenerativeManifest(bundle);
    const session = { executionProvider: PROVIDER, threads: 2 };
    const sizes = { maxSlots: 4, prefillChunkTokens: 64, prefixCacheBytes: 0 };
    models = await loadModels({ bundle, manifest, ...session, ...sizes });
    qformer = await openGraph(bundle, manifest.graphs.qformer, session);
  });
  afterAll(async () => {
    await qformer?.release();
    await releaseModels(models);
  });

  const alone = (index: number) =>
    models.qformer.query(features(index), greedy[index]!.instruction_ids);

  it('gives the query embeddings of transformers for each image and instruction', async () => {
    for (const index of greedy.keys()) {
      expect(maxDifference(await alone(index), expected(index))).toBeLessThan(TOLERANCE);
    }
    // It would be no test of instructions if they changed nothing.
    expect(maxDifference(expected(0), expected(1))).toBeGreaterThan(0.1);
  });

  it('gives an instruction the same bits in a batch with longer ones', async () => {
    const ofImage = greedy.slice(0, texts).map(({ instruction_ids }) => instruction_ids);
    const lengths = ofImage.map(({ length }) => length);
    expect(Math.max(...lengths)).toBeGreaterThan(10 * Math.min(...lengths));
    const { query_embeddings } = await qformer.run({
      image_features: features(0),
      input_ids: paddedIds(ofImage, manifest.instruction!.pad_token_id),
      lengths: int64Tensor(lengths),
    });
    const together = query_embeddings.data as Float32Array;
    const shape = [...query_embeddings.dims];
    for (const index of ofImage.keys()) {
      expectSame(rowOf({ shape, values: together }, index), await alone(index));
    }
  });

  it.each(['int8', 'int4'] as const)(
    'in %s has query embeddings near those of transformers',
    async (precision) => {
      const bundle = await ensureBundle(golden.checkpoint, { bundles, precision });
      const session = { executionProvider: PROVIDER, threads: 2 };
      const quantized = await QFormer.load(bundle, await readGenerativeManifest(bundle), session);
      for (const [index, { instruction_ids }] of greedy.entries()) {
        const found = await quantized.query(features(index), instruction_ids);
        const { qformer_hidden: width } = manifest;
        expect(leastCosine(found, expected(index), width)).toBeGreaterThan(0.98);
      }
      await quantized.release();
    },
  );
});

type Reply = {
  caption?: string;
  answer?: string;
  cache: string;
  image: { sha256: string };
  logprobs: { id: number }[];
  embeddings: number[][];
};

describe.each(INSTRUCT_CASES)('the checkpoint "%s" behind the API', (name) => {
  const { golden, greedy, expected } = expectationsOf(name);
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack({ checkpoint: golden.checkpoint });
  });
  afterAll(() => stack?.stop());

  const imageOf = async (name: string) => {
    const bytes = await readFile(new URL(`../scenes/${name}`, import.meta.url));
    return { data: bytes.toString('base64') };
  };
  const post = async (route: string, body: object) =>
    (await postJson(`${stack.url}/v1/${route}`, body)) as Reply;

  it('generates the captions and answers of transformers, all at once', async () => {
    const replies = await Promise.all(
      golden.replies.map(async ({ image, prompt, question, settings }) => {
        const asks = question === undefined ? { prompt } : { question };
        const options = { ...settings, max_tokens: golden.max_tokens, logprobs: true };
        const route = question === undefined ? 'captions' : 'answers';
        return await post(route, { image: await imageOf(image), ...asks, ...options });
      }),
    );
    for (const [i, { caption, answer, logprobs }] of replies.entries()) {
      const { ids, text } = golden.replies[i]!;
      const found = logprobs.map(({ id }) => id);
      // The end token is not among what is written.
      expect(found).toEqual(ids.slice(0, found.length));
      expect(ids.length - found.length).toBeLessThanOrEqual(1);
      expect(caption ?? answer).toBe(text);
    }
  });

  it('gives the query embeddings of transformers, by image and instruction', async () => {
    for (const [i, { image, prompt }] of greedy.entries()) {
      if (prompt === undefined) continue;
      const body = { image: await imageOf(image), instruction: prompt };
      const { embeddings } = await post('embeddings', body);
      expect(maxDifference(embeddings.flat(), expected(i))).toBeLessThan(TOLERANCE);
    }
  });

  it('computes them once for an image and an instruction, and anew for another', async () => {
    // Bytes behind the end of a WebP file change its hash and nothing else.
    const bytes = Buffer.from((await imageOf(golden.images[0]!)).data, 'base64');
    const image = { data: Buffer.concat([bytes, Buffer.from('new')]).toString('base64') };
    const first = await post('captions', { image, prompt: 'a dog' });
    expect(first.cache).toBe('miss');
    const again = await post('captions', { image, prompt: 'a dog' });
    expect([again.cache, again.caption]).toEqual(['colo', first.caption]);
    expect((await post('captions', { image, prompt: 'a cat' })).cache).toBe('miss');
    expect((await post('answers', { image, question: 'a dog?' })).cache).toBe('miss');
    const { sha256 } = first.image;
    expect((await post('captions', { image: { sha256 }, prompt: 'a cat' })).cache).toBe('colo');
    await expect(post('captions', { image: { sha256 }, prompt: 'a tree' })).rejects.toThrow(
      /known with other instructions/,
    );
  });

  it('reads the default instruction where none is given', async () => {
    const image = await imageOf(golden.images[0]!);
    const given = await post('embeddings', { image, instruction: DEFAULT_INSTRUCTION });
    const none = await post('embeddings', { image });
    expect(none.embeddings).toEqual(given.embeddings);
    expect(none.cache).toBe('colo');
    const { caption } = greedy.map(({ prompt, text }) => ({ prompt, caption: text }))[0]!;
    expect(greedy[0]!.prompt).toBe(DEFAULT_INSTRUCTION);
    const reply = await post('captions', { image, max_tokens: golden.max_tokens });
    expect(reply.caption).toBe(caption);
  });
});
