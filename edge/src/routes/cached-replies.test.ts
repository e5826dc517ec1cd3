/** The same request again, on every route that generates: replayed where nothing is drawn, made anew where anything differs. */
import { imagePathOf, imagePrefix } from '@blip2/shared/cache-key';
import { ApiError } from '@blip2/shared/errors';
import { imageIdOf } from '@blip2/shared/image-id';
import * as fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  base64,
  eventsOf,
  newImage,
  startEdge,
  type TestEdge,
  type TestSetup,
} from '../testing/edge.ts';
import { generative } from '../testing/models.ts';

let edge: TestEdge;
let bytes: Uint8Array<ArrayBuffer>;
beforeEach(() => {
  edge = startEdge();
  bytes = newImage();
});

type Members = Record<string, unknown>;

const caption = (members: Members = {}, headers: Record<string, string> = {}) =>
  edge.post('/v1/captions', { image: { data: base64(bytes) }, ...members }, headers);

const runs = () => edge.gpu.received.length;

/** Posts, and waits until what it leaves behind is stored. */
async function settledText(response: Promise<Response>): Promise<string> {
  const text = await (await response).text();
  await edge.settled();
  return text;
}

const cacheOf = async (response: Promise<Response>) =>
  (JSON.parse(await settledText(response)) as { cache: string }).cache;

/** What differs between a reply and the same again: its ids and times, and what it says of the cache. */
const withoutIdentity = (text: string) =>
  text
    .replaceAll(/"(cache|id|item_id)":"[^"]*"/g, '"$1":""')
    .replaceAll(/"timings_ms":\{[^}]*\}/g, '"timings_ms":{}')
    .replaceAll(/"(created|created_at|completed_at)":\d+/g, '"$1":0');

const dataUrl = () => `data:image/png;base64,${base64(bytes)}`;
const chat = (members: Members = {}) => ({
  model: generative.name,
  messages: [
    {
      role: 'user',
      content: [
        { type: 'text', text: 'what?' },
        { type: 'image_url', image_url: { url: dataUrl() } },
      ],
    },
  ],
  ...members,
});
const response = (members: Members = {}) => ({
  model: generative.name,
  input: [
    {
      role: 'user',
      content: [
        { type: 'input_text', text: 'what?' },
        { type: 'input_image', image_url: dataUrl() },
      ],
    },
  ],
  ...members,
});

const image = () => ({ data: base64(bytes) });
const ROUTES: [string, string, () => Members][] = [
  ['captions', '/v1/captions', () => ({ image: image() })],
  ['captions as a stream', '/v1/captions', () => ({ image: image(), stream: true })],
  ['answers', '/v1/answers', () => ({ image: image(), question: 'what?' })],
  ['a chat', '/v1/chat/completions', () => chat()],
  ['a chat as a stream', '/v1/chat/completions', () => chat({ stream: true, logprobs: true })],
  ['a response', '/v1/responses', () => response()],
  ['a response as a stream', '/v1/responses', () => response({ stream: true })],
  ['image-to-text', '/hf/image-to-text', () => ({ inputs: base64(bytes) })],
  [
    'visual-question-answering',
    '/hf/visual-question-answering',
    () => ({ inputs: { question: 'what?', image: base64(bytes) }, parameters: { top_k: 2 } }),
  ],
  ['chat of Hugging Face', '/hf/v1/chat/completions', () => chat()],
];

describe('the same request again', () => {
  it.each(ROUTES)('%s: is answered in the same bytes, without the GPU worker', async (...route) => {
    const [, path, body] = route;
    edge.gpu.script.others = [' a dog'];
    const first = await settledText(edge.post(path, body()));
    const again = await settledText(edge.post(path, body()));
    expect(first).toContain('dog');
    expect(withoutIdentity(again)).toBe(withoutIdentity(first));
    expect(runs()).toBe(1);
  });

  it('says where it came from, and that it took no time of the worker', async () => {
    expect(await cacheOf(caption())).toBe('miss');
    const again = await caption();
    expect(again.headers.get('server-timing')).toMatch(
      /^read;dur=[\d.]+, reply;dur=[\d.]+, wait;dur=[\d.]+, total;dur=[\d.]+$/,
    );
    expect(again.headers.get('cache-control')).toBe('no-store');
    expect(await again.json()).toMatchObject({ caption: 'a red dog', cache: 'reply' });
    const events = await eventsOf(await caption({ stream: true }));
    expect(events[0]).toMatchObject({ event: 'image', data: { width: 40, cache: 'reply' } });
    expect(events.at(-1)).toMatchObject({
      event: 'done',
      data: { cache: 'reply', timings_ms: {}, usage: { completion_tokens: expect.any(Number) } },
    });
  });

  it('is the same for JSON, streams and dialects', async () => {
    await settledText(edge.post('/v1/answers', { image: image(), question: 'what?' }));
    await settledText(edge.post('/v1/chat/completions', chat({ stream: true })));
    await settledText(edge.post('/v1/responses', response()));
    expect(runs()).toBe(1);
  });

  it('needs only the hash of the image, and no embeddings', async () => {
    await settledText(caption());
    const sha256 = await imageIdOf(bytes);
    for (const { name } of (await edge.kv.list({ prefix: imagePrefix(imagePathOf('', sha256)) }))
      .keys)
      await edge.kv.delete(name);
    edge = startEdge({ platform: { coloCache: repliesOnly } });
    expect(await cacheOf(edge.post('/v1/captions', { image: { sha256 } }))).toBe('reply');
    const other = await edge.post('/v1/captions', { image: { sha256 }, max_tokens: 2 });
    expect(other.status).toBe(404);
    expect(await other.json()).toMatchObject({ type: '/problems/unknown-image' });
  });

  it('is answered while the GPU worker is gone, as long as this isolate knows which it was', async () => {
    await settledText(caption());
    edge.gpu.script.isGone = true;
    expect(await cacheOf(caption())).toBe('reply');
    edge = startEdge();
    edge.gpu.script.isGone = true;
    expect((await caption()).status).toBe(503);
  });

  it('is answered in every isolate of the location', async () => {
    await settledText(caption());
    edge = startEdge();
    expect(await cacheOf(caption())).toBe('reply');
    expect(runs()).toBe(0);
  });
});

/** The cache of the location without any embeddings. */
const repliesOnly = new Proxy(caches.default, {
  get: (cache, name: keyof Cache) =>
    name === 'match'
      ? async (url: string) => (url.includes('embeddings') ? undefined : await cache.match(url))
      : cache[name].bind(cache),
});

describe('Cache-Control', () => {
  it.each(['no-cache', 'max-age=0'])('%s makes a reply, and lets it be cached', async (value) => {
    await settledText(caption());
    edge.gpu.script.text = ' a blue dog';
    const headers = { 'cache-control': value };
    expect(await cacheOf(caption({}, headers))).toBe('colo');
    expect(await settledText(caption())).toContain('a blue dog');
    expect(runs()).toBe(2);
  });

  it('no-store makes a reply, and caches none', async () => {
    const headers = { 'cache-control': 'no-store' };
    expect(await cacheOf(caption({}, headers))).toBe('miss');
    expect(await cacheOf(caption())).toBe('colo');
    edge.gpu.script.text = ' a blue dog';
    expect(await settledText(caption({}, headers))).toContain('a blue dog');
    expect(await settledText(caption())).toContain('a red dog');
  });

  it('max-age takes a reply that is no older', async () => {
    let seconds = 0;
    edge = startEdge({ platform: { now: () => Date.now() + 1000 * seconds } });
    await settledText(caption());
    seconds = 30;
    expect(await cacheOf(caption({}, { 'cache-control': 'max-age=60' }))).toBe('reply');
    expect(await cacheOf(caption({}, { 'cache-control': 'max-age=20' }))).not.toBe('reply');
  });
});

describe('a reply that is not cached', () => {
  const twice = async (members: Members) => {
    await settledText(caption(members));
    await settledText(caption(members));
    expect(runs()).toBe(2);
  };

  it.each<[string, Members]>([
    ['sampled', { temperature: 0.7 }],
    ['sampled from a seed', { temperature: 0.7, seed: 3 }],
    ['sampled from one token', { temperature: 1, top_k: 1 }],
    ['several samples', { temperature: 1, n: 2 }],
  ])('is %s', async (_how, members) => {
    edge.gpu.script.others = [' a dog'];
    await twice(members);
  });

  it('is one of a worker that does not say what it is', async () => {
    edge.gpu.script.fingerprint = null;
    await twice({});
  });

  it('is one where no hours are configured for it', async () => {
    edge = startEdge({ env: { REPLY_TTL_HOURS: '0' } });
    await twice({});
  });

  it.each<[string, (edge: TestEdge) => void]>([
    ['fails after its beginning', ({ gpu }) => (gpu.script.failLate = problem())],
    ['breaks off', ({ gpu }) => (gpu.script.breakOff = true)],
    ['is incomplete', ({ gpu }) => (gpu.script.forgetChoices = true)],
  ])('%s', async (_how, fail) => {
    fail(edge);
    await settledText(caption({ stream: true }));
    edge.gpu.script = { ...edge.gpu.script, failLate: null, breakOff: false, forgetChoices: false };
    const before = runs();
    expect(await settledText(caption())).toContain('a red dog');
    expect(runs()).toBe(before + 1);
  });

  it('was left by its client', async () => {
    const gate = Promise.withResolvers<void>();
    let tokens = 0;
    edge.gpu.script.token = () => (tokens++ === 1 ? gate.promise : Promise.resolve());
    const reader = (await caption({ stream: true })).body?.getReader();
    await reader?.read();
    await reader?.cancel();
    gate.resolve();
    await edge.settled();
    edge.gpu.script.token = () => Promise.resolve();
    expect(await cacheOf(caption())).not.toBe('reply');
  });
});

const problem = () => new ApiError('shutting-down', 'bye').toProblem();

describe('a worker that was replaced', () => {
  it.each(['in the same isolate', 'in another'])(
    'gets no reply of the one before, %s',
    async (where) => {
      let seconds = 0;
      const platform = { now: () => Date.now() + 1000 * seconds };
      edge = startEdge({ platform });
      await settledText(caption());
      if (where === 'in another') edge = startEdge({ platform });
      edge.gpu.script = { ...edge.gpu.script, fingerprint: 'int8', text: ' a blue dog' };
      // As soon as it may have been replaced: what has just replied is not asked again.
      seconds = 3;
      expect(await settledText(caption())).toContain('a blue dog');
      expect(await cacheOf(caption())).toBe('reply');
      edge.gpu.script = { ...edge.gpu.script, fingerprint: 'fake', text: ' a red dog' };
      seconds = 6;
      expect(await settledText(caption())).toContain('a red dog');
    },
  );
});

describe('settings', () => {
  const REPLY: Members = { prompt: 'a photo of' };
  const OTHERS: Members[] = [
    { prompt: 'a photo' },
    { max_tokens: 3 },
    { min_tokens: 1 },
    { repetition_penalty: 1.5 },
    { frequency_penalty: 0.5 },
    { presence_penalty: 0.5 },
    { no_repeat_ngram_size: 2 },
    { num_beams: 2 },
    { num_beams: 3, n: 2 },
    { num_beams: 2, length_penalty: 2 },
    { num_beams: 2, early_stopping: true },
    { num_beams: 2, early_stopping: 'never' },
    { top_k: 5 },
    { top_p: 0.5 },
    { logprobs: true },
    { logprobs: true, top_logprobs: 2 },
    { stop: 'dog' },
    { stop: ['dog', 'red'] },
  ];

  it('that differ make another reply, each', async () => {
    edge.gpu.script.others = [' a dog', ' a hound'];
    for (const members of [{}, ...OTHERS]) {
      expect(await cacheOf(caption({ ...REPLY, ...members }))).not.toBe('reply');
    }
    for (const members of [{}, ...OTHERS]) {
      expect(await cacheOf(caption({ ...REPLY, ...members }))).toBe('reply');
    }
  });

  it('that say what holds anyway, by whatever name, do not', async () => {
    await settledText(caption(REPLY));
    const same = { temperature: 0, n: 1, seed: 5, top_p: 1, num_return_sequences: 1, stop: [] };
    expect(await cacheOf(caption({ ...REPLY, ...same, do_sample: false }))).toBe('reply');
  });

  it('of an image and of a model are not those of another', async () => {
    await settledText(caption());
    bytes = newImage();
    expect(await cacheOf(caption())).toBe('miss');
    await settledText(caption());
    for (const change of [{ revision: 'other' }, { preprocessing: 'other' }]) {
      const models = { generate: { ...generative, ...change } };
      edge = startEdge({ models } as TestSetup);
      expect(await cacheOf(caption())).not.toBe('reply');
    }
  });

  it('of any kind replay to the byte, in another isolate too', async () => {
    const settings = fc.record(
      {
        max_tokens: fc.integer({ min: 1, max: 12 }),
        logprobs: fc.constant(true),
        stop: fc.constantFrom('d', ' red', ['dog', 'mat'], 'é'),
        num_beams: fc.integer({ min: 3, max: 4 }),
        stream: fc.boolean(),
        repetition_penalty: fc.double({ min: 0.5, max: 2, noNaN: true }),
      },
      { requiredKeys: [] },
    );
    const texts = fc.array(fc.constantFrom(' a', ' red', ' dog', ' é', '\u{1f419}', ' mat', '\n'), {
      minLength: 1,
      maxLength: 9,
    });
    await fc.assert(
      fc.asyncProperty(settings, texts, fc.boolean(), async (members, words, isFresh) => {
        bytes = newImage();
        const setup = { env: { SHOW_CACHE: '0' } };
        edge = startEdge(setup);
        edge.gpu.script.text = words.join('');
        const first = await settledText(caption(members));
        if (isFresh) edge = startEdge(setup);
        const before = runs();
        const again = await settledText(caption(members));
        expect(withoutIdentity(again)).toBe(withoutIdentity(first));
        expect(runs()).toBe(before);
      }),
      { numRuns: 40 },
    );
  }, 30_000);
});
