/** What large replies cost, and how long they are held. */
import { ApiError } from '@blip2/shared/errors';
import { imageIdOf } from '@blip2/shared/image-id';
import { type Context, Hono } from 'hono';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Config } from '../config.ts';
import { sseResponse } from '../http/sse.ts';
import { newImage, startEdge, type TestEdge } from '../testing/edge.ts';
import { storeKey } from '../testing/keys.ts';
import { generative, retrieval } from '../testing/models.ts';
import { dearWork } from '../turns/dear-work.ts';
import type { AppEnv } from './app-context.ts';
import { countWritten } from './count-written.ts';
import { holdReply, holdWritten, largeReply, numbersCost } from './large-reply.ts';

const KIBIBYTE = 1024;
const LARGE = 200 * KIBIBYTE;
let clients = 0;

/** An app whose reply to a path has so many bytes, of a client of its own. */
function startReplies(change: Partial<Config> = {}) {
  const { config } = startEdge().deps;
  const deps = { config: { ...config, maxHeldBytes: 400 * KIBIBYTE, ...change } };
  const app = new Hono<AppEnv>();
  const id = `large replies ${++clients}`;
  app.get('/:bytes', async (c: Context<AppEnv>) => {
    c.set('caller', { id } as never);
    const bytes = new Uint8Array(Number(c.req.param('bytes'))).fill(7);
    return await largeReply(c, deps, bytes, { 'content-type': 'application/json' });
  });
  app.onError((thrown, c) => c.text(String((thrown as { slug?: string }).slug), 429));
  return async (bytes: number, method = 'GET') =>
    await app.fetch(new Request(`http://edge.test/${bytes}`, { method }));
}

describe('a reply', () => {
  it('that is large counts among the bodies of its client until it is read', async () => {
    const get = startReplies();
    const first = await get(LARGE);
    expect(first.headers.get('content-type')).toBe('application/json');
    const refused = await get(LARGE);
    expect([refused.status, await refused.text()]).toEqual([429, 'too-many-requests']);
    expect(new Uint8Array(await first.arrayBuffer())).toEqual(new Uint8Array(LARGE).fill(7));
    const third = await get(LARGE);
    expect(third.status).toBe(200);
    await third.body?.cancel();
  });

  it('counts no longer when its client leaves', async () => {
    const get = startReplies();
    await (await get(LARGE)).body?.cancel();
    const next = await vi.waitFor(async () => {
      const reply = await get(LARGE);
      expect(reply.status).toBe(200);
      return reply;
    });
    await next.body?.cancel();
  });

  it('breaks off, and counts no longer, where its client does not read on', async () => {
    const get = startReplies({ deadlineMs: 20 });
    const first = await get(LARGE);
    const next = await vi.waitFor(async () => {
      const reply = await get(LARGE);
      expect(reply.status).toBe(200);
      return reply;
    });
    await expect(first.arrayBuffer()).rejects.toThrow();
    await next.body?.cancel();
  });

  it('that is small, or has no body, does not count', async () => {
    const get = startReplies();
    const unread = [await get(64 * KIBIBYTE), await get(LARGE, 'HEAD'), await get(LARGE, 'HEAD')];
    const last = await get(LARGE);
    expect([...unread, last].map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    for (const { body } of [...unread, last]) await body?.cancel();
  });
});

describe('the numbers of', () => {
  let edge: TestEdge;
  let id: string;
  beforeEach(async () => {
    edge = startEdge();
    const image = newImage();
    id = await imageIdOf(image);
    const type = { 'content-type': 'image/png' };
    await edge.post('/v1/embeddings', image, { ...type, accept: 'application/octet-stream' });
    await edge.settled();
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  const ofQueries = generative.num_query_tokens * generative.qformer_hidden;
  const texts = ['a dog', 'a cat', 'a bee'];
  const ofTexts = texts.length * retrieval.itc_hidden;
  const { name: model } = retrieval;
  const bytes = { accept: 'application/octet-stream' };
  type Headers = Record<string, string>;

  it.each<[string, number, (headers?: Headers) => Promise<Response>]>([
    ['cached embeddings', ofQueries, () => edge.request(`/v1/embeddings/${id}`)],
    [
      'the same, named in JSON',
      ofQueries,
      () => edge.post('/v1/embeddings', { image: { sha256: id } }),
    ],
    ['texts', ofTexts, () => edge.post('/v1/embeddings', { text: texts, kind: 'itc' })],
    ['OpenAI', ofTexts, () => edge.post('/v1/embeddings', { input: texts, model })],
    [
      'OpenAI in base64',
      ofTexts / 10,
      () => edge.post('/v1/embeddings', { input: texts, model, encoding_format: 'base64' }),
    ],
    ['Hugging Face', ofTexts, () => edge.post('/hf/feature-extraction', { inputs: texts })],
    ['Ollama', ofTexts, () => edge.post('/api/embed', { input: texts, model })],
  ])('%s count among what the client does', async (_, numbers, ask) => {
    const passes = vi.spyOn(dearWork, 'passes');
    expect((await ask()).status).toBe(200);
    const { ms } = numbersCost(numbers, '');
    expect(passes.mock.calls.map(([, , counts]) => counts)).toContainEqual(expect.closeTo(ms));
  });

  it('bytes do not', async () => {
    const passes = vi.spyOn(dearWork, 'passes');
    await edge.request(`/v1/embeddings/${id}`, { headers: bytes });
    const { ms } = numbersCost(ofQueries, '');
    expect(passes.mock.calls.map(([, , counts]) => counts)).not.toContain(ms);
  });

  it('a reply wait where the client has done as much as it may', async () => {
    vi.spyOn(dearWork, 'passes').mockImplementation((_, __, counts = 0) => counts === 0);
    const turn = vi.spyOn(dearWork, 'turn').mockResolvedValue();
    expect((await edge.request(`/v1/embeddings/${id}`)).status).toBe(200);
    expect(turn.mock.calls.map(([, , { remedy }]) => remedy)).toContain(
      'Accept: application/octet-stream',
    );
  });
});

it('log-probabilities count where each token has many', async () => {
  const edge = startEdge();
  const passes = vi.spyOn(dearWork, 'passes');
  try {
    const image = { data: newImage().toBase64() };
    const asked = { image, logprobs: true, top_logprobs: 5 };
    const reply = await edge.post('/v1/captions', asked);
    const { usage } = await reply.json<{ usage: { completion_tokens: number } }>();
    const counted = passes.mock.calls.map(([, , counts]) => counts);
    expect(counted).toContain(0.002 * usage.completion_tokens * 6);
  } finally {
    passes.mockRestore();
  }
});

it.each(['/v1/captions', '/v1/chat/completions'])(
  'a stream of log-probabilities counts by what is written, not by what may be: %s',
  async (path) => {
    const env = { CLIENT_ADDRESS_HEADER: 'x-address', MAX_HELD_BYTES: '100000' };
    const edge = startEdge({ env });
    const address = { 'x-address': `2001:db8:5ee:${++clients}::1` };
    const data = newImage().toBase64();
    const image_url = { url: `data:image/png;base64,${data}` };
    const messages = [{ role: 'user', content: [{ type: 'image_url', image_url }] }];
    const asked =
      path === '/v1/captions' ? { image: { data } } : { model: generative.name, messages };
    const scored = { stream: true, logprobs: true, top_logprobs: 20, max_tokens: 40 };
    const get = () => edge.post(path, { ...asked, ...scored }, address);
    const replies = [await get(), await get(), await get()];
    expect(replies.map(({ status }) => status)).toEqual([200, 200, 200]);
    for (const reply of replies) {
      const text = await reply.text();
      expect(text).toContain('logprob');
      expect(text).not.toContain('error');
    }
  },
);

it('a stream for whose log-probabilities there is no room ends with an error, and leaves none', async () => {
  const { config } = startEdge().deps;
  const limited = { config: { ...config, maxHeldBytes: 400 * KIBIBYTE } };
  const app = new Hono<AppEnv>();
  const scored = { id: 1, text: 'a', logprob: -1 };
  const token = { ...scored, top_logprobs: Array.from({ length: 20 }, () => scored) };
  let open = 0;
  // Each has 40 KiB, 64 of which are free.
  async function* deltas() {
    open++;
    try {
      for (let count = 0; count < 6; count++)
        yield { type: 'delta', logprobs: new Array(10).fill(token) };
      yield { type: 'done' };
    } finally {
      open--;
    }
  }
  app.get('/', async (c: Context<AppEnv>) => {
    c.set('caller', { id: 'scored streams' } as never);
    const reading = holdWritten(c, limited, { logprobs: true });
    return await sseResponse(countWritten(deltas(), reading), {
      format: ({ type }) => `${type} `,
      formatError: (thrown) => ApiError.from(thrown).slug,
      heartbeatMs: 60_000,
      onCancel: () => {},
      reading,
    });
  });
  const get = async () => await app.request('/');
  const whole = `${'delta '.repeat(6)}done `;
  // All of it is there, and nobody has taken it.
  const first = await get();
  await vi.waitFor(() => expect(open).toBe(0));
  const second = await get();
  expect(await second.text()).toBe('delta delta too-many-requests');
  expect(open).toBe(0);
  expect(await first.text()).toBe(whole);
  expect(await (await get()).text()).toBe(whole);
});

it('a piece counts with what it is made of, as soon as it is there', async () => {
  const { config } = startEdge().deps;
  const app = new Hono<AppEnv>();
  app.get('/', (c: Context<AppEnv>) => {
    c.set('caller', { id: 'makes pieces' } as never);
    const limited = { ...config, maxHeldBytes: 400 * KIBIBYTE };
    const [small, large] = [1, 1].map((bytes) => holdReply(c, limited, bytes));
    small?.onMade(60 * KIBIBYTE);
    large?.onMade(100 * KIBIBYTE);
    // Of the longest alone.
    large?.onMade(100 * KIBIBYTE);
    expect(() => large?.onMade(140 * KIBIBYTE)).toThrow(
      expect.objectContaining({ slug: 'too-many-requests' }),
    );
    for (const held of [small, large]) held?.onEnd();
    return c.text('');
  });
  expect((await app.request('/')).status).toBe(200);
});

it('the content of a file counts by what was read ahead', async () => {
  const edge = startEdge({ env: { ALLOW_ANONYMOUS: '', MAX_HELD_BYTES: String(300 * KIBIBYTE) } });
  const headers = await storeKey();
  const form = new FormData();
  form.set('file', new File(['{}\n'.repeat(LARGE / 3)], 'a.jsonl'));
  form.set('purpose', 'batch');
  const { id } = await (await edge.post('/v1/files', form, headers)).json<{ id: string }>();
  const get = () => edge.request(`/v1/files/${id}/content`, { headers });
  const first = await get();
  expect((await get()).status).toBe(429);
  await first.arrayBuffer();
  const later = await get();
  expect(later.status).toBe(200);
  await later.body?.cancel();
});

it('a large reply comes whole with an Idempotency-Key, too, and again', async () => {
  const edge = startEdge();
  const key = { 'idempotency-key': crypto.randomUUID() };
  const input = Array.from({ length: 1500 }, (_, i) => `dog ${i}`);
  const ask = () => edge.post('/v1/embeddings', { input, model: retrieval.name }, key);
  const first = await ask();
  const text = await first.text();
  expect(text.length).toBeGreaterThan(64 * KIBIBYTE);
  const again = await ask();
  expect(again.headers.get('idempotent-replayed')).toBe('true');
  expect(await again.text()).toBe(text);
});
