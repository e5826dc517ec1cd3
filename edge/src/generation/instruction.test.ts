/** A model whose Q-Former reads the instruction: embeddings are asked for, cached and shared by image and instruction. */
import { embeddingIdOf, embeddingKey, imagePathOf } from '@blip2/shared/cache-key';
import { Problem } from '@blip2/shared/errors';
import { imageIdOf } from '@blip2/shared/image-id';
import { DEFAULT_INSTRUCTION } from '@blip2/shared/prompts';
import { EmbeddingsReply } from '@blip2/shared/schemas/embeddings';
import type { GpuRequest } from '@blip2/shared/wire';
import { beforeEach, describe, expect, it } from 'vitest';
import { base64, newImage, startEdge, type TestEdge } from '../testing/edge.ts';
import { generative, instructedModels, retrieval } from '../testing/models.ts';

/** The Q-Former reads at most so many tokens. */
const LIMIT = 30;
const { cls_token_id, sep_token_id, tokenizer } = retrieval;
const models = instructedModels(LIMIT);

const idsOf = (text: string) => [cls_token_id, ...tokenizer().encode(text), sep_token_id];
const answerTo = (question: string) =>
  `Question: ${question} ${generative.family === 't5' ? 'Short answer:' : 'Answer:'}`;

let edge: TestEdge;
let bytes: Uint8Array<ArrayBuffer>;
beforeEach(() => {
  edge = startEdge({ models });
  bytes = newImage();
});

const ask = async (path: 'captions' | 'answers' | 'embeddings', body: object, image?: object) => {
  const sent = { image: image ?? { data: base64(bytes) }, ...body };
  return await edge.post(`/v1/${path}`, sent);
};
const cacheOf = async (response: Response) => ((await response.json()) as { cache: string }).cache;
const instructions = () =>
  edge.gpu.received.map(({ request }) => (request as Instructed).instruction_ids);
type Instructed = Extract<GpuRequest, { kind: 'generate' | 'embed' }>;

describe('the instruction', () => {
  it.each([
    ['the prompt of a caption', 'captions', { prompt: 'a dog on' }, 'a dog on'],
    ['its default without a prompt', 'captions', {}, DEFAULT_INSTRUCTION],
    ['its default for an empty prompt', 'captions', { prompt: ' ' }, DEFAULT_INSTRUCTION],
    ['the whole prompt of a question', 'answers', { question: 'a dog?' }, answerTo('a dog?')],
    [
      'earlier turns too',
      'answers',
      { question: 'red?', history: [{ question: 'a dog?', answer: 'yes' }] },
      `${answerTo('a dog?')} yes. ${answerTo('red?')}`,
    ],
    ['that of a request for embeddings', 'embeddings', { instruction: 'a dog on' }, 'a dog on'],
    ['the default of captions for embeddings', 'embeddings', {}, DEFAULT_INSTRUCTION],
  ] as const)('is %s', async (_name, path, body, text) => {
    expect((await ask(path, body)).status).toBe(200);
    expect(instructions()).toEqual([idsOf(text)]);
    const [received] = edge.gpu.received;
    if (received?.request.kind === 'generate') {
      const { prompt_prefix, prompt_suffix } = generative;
      const ids = [...prompt_prefix, ...generative.tokenizer().encode(text), ...prompt_suffix];
      expect(received.request.input_ids).toEqual(ids);
    }
  });

  it.each([
    ['captions', { prompt: 'dog '.repeat(LIMIT) }, 'prompt'],
    ['answers', { question: 'dog '.repeat(LIMIT) }, 'question'],
    ['embeddings', { instruction: 'dog '.repeat(LIMIT) }, 'instruction'],
    ['embeddings', { instruction: 'x'.repeat(5000) }, 'instruction'],
  ] as const)('of %s that is too long is refused by its field', async (path, body, field) => {
    const response = await ask(path, body);
    expect(response.status).toBe(400);
    const problem = Problem.parse(await response.json());
    expect(problem).toMatchObject({ type: '/problems/prompt-too-long', field });
    expect(problem.actual).toBeGreaterThan(problem.limit ?? Number.POSITIVE_INFINITY);
    expect(edge.gpu.received).toEqual([]);
  });

  it.each([
    ['of ITC', { kind: 'itc', instruction: 'a dog' }, models],
    ['of a model that reads none', { instruction: 'a dog' }, undefined],
  ])('is refused for embeddings %s', async (_name, body, served) => {
    edge = startEdge(served && { models: served });
    const response = await ask('embeddings', body);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ field: 'instruction' });
  });

  it('is not sent to a model that reads none', async () => {
    edge = startEdge();
    await ask('captions', { prompt: 'a dog' });
    expect(instructions()).toEqual([undefined]);
  });
});

describe('embeddings', () => {
  it('are cached by image and instruction, for captions and by themselves', async () => {
    expect(await cacheOf(await ask('captions', { prompt: 'a dog' }))).toBe('miss');
    await edge.settled();
    const id = await embeddingIdOf(imagePathOf('', await imageIdOf(bytes)), idsOf('a dog'));
    expect(await edge.kv.get(embeddingKey({ kind: 'query', ...generative }, id))).not.toBeNull();
    const sha256 = await imageIdOf(bytes);
    for (const [body, cache] of [
      [{ prompt: 'a dog', max_tokens: 9 }, 'colo'],
      [{ prompt: 'a cat' }, 'miss'],
      [{ prompt: 'a cat', max_tokens: 9 }, 'colo'],
    ] as const) {
      expect(await cacheOf(await ask('captions', body))).toBe(cache);
    }
    const same = await ask('embeddings', { instruction: 'a dog' }, { sha256 });
    expect(await cacheOf(same)).toBe('colo');
    const other = await ask('embeddings', { instruction: 'a house' });
    expect(await cacheOf(other)).toBe('miss');
  });

  it('are read by instruction', async () => {
    await ask('embeddings', { instruction: 'a dog' });
    await edge.settled();
    const path = `/v1/embeddings/${await imageIdOf(bytes)}`;
    const found = await edge.request(`${path}?instruction=a%20dog`);
    expect(EmbeddingsReply.parse(await found.json()).cache).toBe('colo');
    const missing = await edge.request(`${path}?instruction=a%20cat`);
    expect(missing.status).toBe(404);
    expect(await missing.json()).toMatchObject({ field: 'sha256' });
    await ask('embeddings', { instruction: 'a cat' });
    const another = await edge.request(`${path}?instruction=a%20cat`);
    expect(another.headers.get('etag')).not.toBe(found.headers.get('etag'));
  });

  it('by hash alone say whether the image is known with other instructions', async () => {
    const sha256 = await imageIdOf(bytes);
    const byHash = () => ask('captions', { prompt: 'a cat' }, { sha256 });
    const problemOf = async (response: Response) => Problem.parse(await response.json());
    const unknown = await problemOf(await byHash());
    expect(unknown).toMatchObject({ type: '/problems/unknown-image', field: 'image.sha256' });
    expect(unknown.detail).not.toMatch(/instruction/);
    await ask('captions', { prompt: 'a dog' });
    await edge.settled();
    const known = await problemOf(await byHash());
    expect(known).toMatchObject({ type: '/problems/unknown-image', field: 'image.sha256' });
    expect(known.detail).toMatch(/known with other instructions.*send the image itself again/);
    await ask('captions', { prompt: 'a cat' });
    expect((await byHash()).status).toBe(200);
  });

  it('are computed once for concurrent requests with one instruction, and apart for another', async () => {
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.start = gate.promise;
    const sent = ['a dog', 'a dog', 'a cat', 'a dog'].map((prompt) => ask('captions', { prompt }));
    await edge.gpu.untilReceived(2);
    gate.resolve();
    for (const response of await Promise.all(sent)) expect(response.status).toBe(200);
    const encoded = edge.gpu.received.filter(({ with: source }) => source === 'image');
    const ids = encoded.map(({ request }) => String((request as Instructed).instruction_ids));
    expect(ids.toSorted()).toEqual(
      ['a dog', 'a cat'].map((text) => String(idsOf(text))).toSorted(),
    );
    expect(edge.gpu.received).toHaveLength(4);
  });

  it('of ITC are those of the image alone', async () => {
    expect((await ask('embeddings', { kind: 'itc' })).status).toBe(200);
    expect(instructions()).toEqual([undefined]);
  });
});
