/** Replies of an edge that does not show what was cached: a first request and a later one read the same, times and ids aside. */
import { imageIdOf } from '@blip2/shared/image-id';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { base64, newImage, startEdge, type TestEdge } from '../testing/edge.ts';
import { generative, retrieval } from '../testing/models.ts';

type Members = Record<string, unknown>;
type Init = { body: Members; headers?: Record<string, string> };

const TELLTALE = /"cache"|"timings_ms":\{"|dur=/;
const isolate = (env = {}) => startEdge({ env: { SHOW_CACHE: '0', ...env } });

/** Objects of predictions have dependencies of their own, whose fetch is the platform's. */
let gpu: TestEdge['gpu'];
beforeEach(() => {
  ({ gpu } = isolate());
  vi.stubGlobal('fetch', (url: string, init?: RequestInit) => gpu.fetch(url, init));
});
afterEach(() => void vi.unstubAllGlobals());

/** Of every reply: when it was written, and which one it is. */
const IDENTITY = /"(?:id|item_id|request_id)":"[^"]*"|"[a-z_]+_at":("[^"]*"|\d+)|"created":\d+/g;
/** What it took, in the words that clients of others read: none of it is of a single part. */
const TOOK =
  /"(?:total_duration|load_duration|prompt_eval_duration|eval_duration|total_time|predict_time)":[\d.]+/g;
const URLS = /"urls":\{[^}]*\}/g;

/** All that a caller sees. */
async function shown(response: Response): Promise<string> {
  expect(response.status).toBe(200 + Number(response.status === 201));
  const headers = [...response.headers].filter(([name]) => name !== 'x-request-id');
  const text = new TextDecoder('latin1').decode(await response.arrayBuffer());
  const body = [IDENTITY, TOOK, URLS].reduce((rest, some) => rest.replaceAll(some, ''), text);
  return [response.status, ...headers.map((header) => header.join(': ')), body].join('\n');
}

const url = (image: string) => `data:image/png;base64,${image}`;
const messages = (image: string) => [
  {
    role: 'user',
    content: [
      { type: 'text', text: 'what?' },
      { type: 'image_url', image_url: { url: url(image) } },
    ],
  },
];
const responses = (image: string, members: Members = {}) => {
  const content = [
    { type: 'input_text', text: 'what?' },
    { type: 'input_image', image_url: url(image) },
  ];
  return { body: { model: generative.name, input: [{ role: 'user', content }], ...members } };
};
const chat = (image: string, members: Members = {}) => ({
  body: { model: generative.name, messages: messages(image), ...members },
});
const ollama = (image: string, members: Members = {}) => {
  const message = { role: 'user', content: 'what?', images: [image] };
  return { body: { model: generative.name, messages: [message], ...members } };
};
const labels = { candidate_labels: ['a dog', 'a cat'] };

/** By what they are called: a path, and a request about an image in base64. */
const ROUTES: [string, string, (image: string) => Init][] = [
  ['captions', '/v1/captions', (data) => ({ body: { image: { data } } })],
  ['captions as a stream', '/v1/captions', (data) => ({ body: { image: { data }, stream: true } })],
  ['answers', '/v1/answers', (data) => ({ body: { image: { data }, question: 'what?' } })],
  ['embeddings', '/v1/embeddings', (data) => ({ body: { image: { data } } })],
  ['ITC embeddings', '/v1/embeddings', (data) => ({ body: { image: { data }, kind: 'itc' } })],
  [
    'embeddings as npy',
    '/v1/embeddings',
    (data) => ({ body: { image: { data } }, headers: { accept: 'application/x-npy' } }),
  ],
  ['matching', '/v1/match', (data) => ({ body: { image: { data }, texts: ['a dog'] } })],
  ['a chat', '/v1/chat/completions', (image) => chat(image)],
  [
    'a chat as a stream',
    '/v1/chat/completions',
    (image) => chat(image, { stream: true, stream_options: { include_usage: true } }),
  ],
  ['a response', '/v1/responses', (image) => responses(image)],
  ['a response as a stream', '/v1/responses', (image) => responses(image, { stream: true })],
  [
    "OpenAI's embeddings",
    '/v1/embeddings',
    (image) => ({ body: { model: retrieval.name, input: [url(image), 'a dog'] } }),
  ],
  ['image-to-text', '/hf/image-to-text', (inputs) => ({ body: { inputs } })],
  [
    'visual-question-answering',
    '/hf/visual-question-answering',
    (image) => ({ body: { inputs: { question: 'what?', image } } }),
  ],
  [
    'zero-shot-image-classification',
    '/hf/zero-shot-image-classification',
    (image) => ({ body: { inputs: { image }, parameters: labels } }),
  ],
  [
    'feature-extraction',
    '/hf/feature-extraction',
    (image) => ({ body: { inputs: [url(image), 'a dog'] } }),
  ],
  ['chat of Hugging Face', '/hf/v1/chat/completions', (image) => chat(image)],
  [
    'a prediction',
    '/replicate/v1/predictions',
    (image) => ({ body: { input: { image: url(image) } }, headers: { prefer: 'wait' } }),
  ],
  ["Ollama's chat", '/api/chat', (image) => ollama(image, { stream: false })],
  ["Ollama's chat as lines", '/api/chat', (image) => ollama(image)],
  [
    "Ollama's text",
    '/api/generate',
    (image) => ({ body: { model: generative.name, prompt: 'what?', images: [image] } }),
  ],
  [
    "Ollama's embeddings",
    '/api/embed',
    (image) => ({ body: { model: retrieval.name, input: [url(image)] } }),
  ],
  ["Moondream's caption", '/moondream/v1/caption', (i) => ({ body: { image_url: url(i) } })],
  [
    "Moondream's answer as a stream",
    '/moondream/v1/query',
    (i) => ({ body: { image_url: url(i), question: 'what?', stream: true } }),
  ],
];

describe.each([
  ['of a cached reply', {}],
  ['of a cached image', { REPLY_TTL_HOURS: '0' }],
])('a reply %s shows nothing that a first one does not', (_what, env) => {
  it.each(ROUTES)('%s', async (_name, path, requestOf) => {
    const { body, headers } = requestOf(base64(newImage()));
    // The last has it of its location's cache, or of KV, and not in memory.
    const [first, last] = [isolate(env), isolate(env)];
    const replies: string[] = [];
    for (const edge of [first, first, last]) {
      replies.push(await shown(await edge.post(path, body, headers)));
      await edge.settled();
    }
    expect(replies).toEqual([replies[0], replies[0], replies[0]]);
    expect(replies[0]).not.toMatch(TELLTALE);
  });
});

describe('embeddings that were cached', () => {
  let bytes: Uint8Array<ArrayBuffer>;
  let id: string;
  beforeEach(async () => {
    bytes = newImage();
    id = await imageIdOf(bytes);
    const edge = isolate();
    await edge.post('/v1/embeddings', { image: { data: base64(bytes) } });
    await edge.settled();
  });

  it.each<[string, (edge: TestEdge) => Promise<Response>]>([
    ['one by one', (edge) => edge.request(`/v1/embeddings/${id}`)],
    [
      'one by one as JSON',
      (edge) => edge.request(`/v1/embeddings/${id}`, { headers: { accept: 'application/json' } }),
    ],
    [
      'many at once',
      (edge) => edge.post('/v1/embeddings/lookup', { sha256: [id, '0'.repeat(64)] }),
    ],
    [
      'many at once as safetensors',
      (edge) =>
        edge.post(
          '/v1/embeddings/lookup',
          { sha256: [id, '0'.repeat(64)] },
          { accept: 'application/x-safetensors' },
        ),
    ],
  ])('do not show where they were, %s', async (_, read) => {
    const edge = isolate();
    const fromStore = await shown(await read(edge));
    await edge.settled();
    expect(fromStore).not.toMatch(TELLTALE);
    expect(await shown(await read(edge))).toBe(fromStore);
  });
});

it('a reply that is replayed for its Idempotency-Key shows nothing of the cache', async () => {
  const edge = isolate();
  const body = { image: { data: base64(newImage()) } };
  const key = { 'idempotency-key': crypto.randomUUID() };
  const first = await shown(await edge.post('/v1/captions', body, key));
  const replayed = await edge.post('/v1/captions', body, key);
  expect(replayed.headers.get('idempotent-replayed')).toBe('true');
  replayed.headers.delete('idempotent-replayed');
  expect(await shown(replayed)).toBe(first);
  expect(first).not.toMatch(TELLTALE);
});
