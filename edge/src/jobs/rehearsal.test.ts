/** Items run through the app: what a GPU worker would be asked, and the reply that is made of what it commits. */
import { expect, test } from 'vitest';
import { createApp } from '../app.ts';
import { base64, newImage, startEdge } from '../testing/edge.ts';
import { ITC_EMBEDDINGS } from '../testing/fake-gpu.ts';
import { frames, withEmbeddings } from '../testing/jobs.ts';
import { generative, retrieval } from '../testing/models.ts';
import type { BatchLine } from './contract.ts';
import type { OpenItem } from './open-items.ts';
import { performCommit } from './perform-commit.ts';
import { Rehearser } from './rehearsal.ts';

const url = 'https://images.example.org/a.png';
const SHA = 'd'.repeat(64);
const order = {
  job: 'e'.repeat(96),
  part: 0,
  items: 1,
  owner: 'o',
  client: 'c',
  namespace: '',
  cacheEmbeddings: false,
  isOfBucket: false,
  expiresAt: 0,
};

/** What a worker commits of embeddings of an image. */
const EMBEDDED = withEmbeddings('', SHA).filter(({ type }) => type !== 'tokens');

function start() {
  const edge = startEdge();
  const stored = new Map<string, Uint8Array>();
  const rehearser = new Rehearser({
    deps: edge.deps,
    createApp,
    storeImage: async (sha256, bytes) => {
      stored.set(sha256, bytes);
    },
    waitUntil: () => {},
  });
  const rehearse = (path: string, body: object, namespace = '') => {
    const line: BatchLine = { custom_id: 'a', method: 'POST', url: path, body: { ...body } };
    return rehearser.rehearse(line, { namespace, name: 'job-1', isOfBucket: false });
  };
  /** Rehearses, and performs what a worker makes of it. */
  const run = async (path: string, body: object, outcome: Parameters<typeof performCommit>[3]) => {
    const rehearsed = await rehearse(path, body);
    if (rehearsed.kind !== 'work') throw new Error(JSON.stringify(rehearsed));
    const line = JSON.stringify({ custom_id: 'a', method: 'POST', url: path, body });
    const { work } = rehearsed;
    const open: OpenItem = { item: 0, line, work, sentAt: 0, sends: 1, begun: 0, returns: 0 };
    const { ended } = await performCommit(rehearser, order, open, outcome);
    return JSON.parse(ended.line) as { status: number; body: unknown; sha256?: string };
  };
  return { ...edge, stored, rehearse, run };
}

test('an item that names an uploaded file is told to bring the image itself', async () => {
  const file = { file_id: `file-${'a'.repeat(96)}` };
  const messages = [{ role: 'user', content: [{ type: 'file', file }] }];
  const { rehearse } = start();
  const rehearsed = await rehearse('/v1/chat/completions', { model: generative.name, messages });
  const error = {
    param: 'messages.0.content.0.file.file_id',
    message: expect.stringContaining('a line of a batch'),
  };
  expect(rehearsed).toMatchObject({ kind: 'reply', reply: { status: 400, body: { error } } });
});

test('the app gets the body of an item from memory, not as a stream, which takes memory that only a full collection frees', async () => {
  const { deps } = startEdge();
  const seen: Request[] = [];
  const rehearser = new Rehearser({
    deps,
    createApp: (staged) => {
      const app = createApp(staged);
      return {
        fetch: (request, env, context) => {
          seen.push(request);
          return app.fetch(request, env, context);
        },
      };
    },
    storeImage: async () => {},
    waitUntil: () => {},
  });
  const line = {
    custom_id: 'a',
    method: 'POST',
    url: '/v1/captions',
    body: { image: { url } },
  } as const;
  const owner = { namespace: '', name: 'job-1', isOfBucket: false };
  expect(await rehearser.rehearse(line, owner)).toMatchObject({ kind: 'work' });
  expect(seen).toMatchObject([{ body: null, bodyUsed: false }]);
});

test('a caption of a URL is work that nobody has fetched', async () => {
  const { gpu, rehearse } = start();
  const rehearsed = await rehearse('/v1/captions', { image: { url }, max_tokens: 5 });
  expect(rehearsed).toMatchObject({
    kind: 'work',
    work: {
      source: { kind: 'url', url },
      task: { kind: 'generate', generation: { max_tokens: 5 } },
    },
  });
  expect(gpu.received).toEqual([]);
});

test('a seed that is drawn is the same at each try', async () => {
  const { rehearse } = start();
  const seeds = await Promise.all(
    [1, 2].map(async () => {
      const rehearsed = await rehearse('/v1/captions', { image: { url }, temperature: 1 });
      const task = rehearsed.kind === 'work' ? rehearsed.work.task : null;
      return task?.kind === 'generate' && task.generation.seed;
    }),
  );
  expect(seeds[0]).toBeTypeOf('number');
  expect(seeds[0]).not.toBe(7);
  expect(seeds[1]).toBe(seeds[0]);
});

test('an image in an item is stored, and what is cached of it used', async () => {
  const { gpu, post, rehearse, settled, stored } = start();
  const image = newImage();
  const body = { image: { data: base64(image) }, temperature: 1 };
  const first = await rehearse('/v1/captions', body);
  const [sha256 = ''] = stored.keys();
  expect(first).toMatchObject({ work: { source: { kind: 'stored', sha256 } } });
  expect(stored.get(sha256)).toEqual(image);
  await post('/v1/captions', body);
  await settled();
  expect(gpu.received).toHaveLength(1);
  const embeddings = {
    kind: 'embeddings',
    sha256,
    image: { width: 40, height: 30, format: 'png' },
  };
  for (const again of [body, { image: { sha256 }, temperature: 1 }]) {
    expect(await rehearse('/v1/captions', again)).toMatchObject({ work: { source: embeddings } });
  }
  // Not by others.
  const foreign = await rehearse('/v1/captions', { image: { sha256 } }, 'f'.repeat(32));
  expect(foreign).toMatchObject({ kind: 'reply', reply: { status: 404 } });
});

test('a reply that was written before needs no worker, and its image need not be stored', async () => {
  const { gpu, post, rehearse, settled, stored } = start();
  const body = { image: { data: base64(newImage()) } };
  const reply = await post('/v1/captions', body);
  const { caption } = await reply.json<{ caption: string }>();
  await settled();
  const rehearsed = await rehearse('/v1/captions', body);
  expect(rehearsed).toMatchObject({ kind: 'reply', reply: { status: 200, body: { caption } } });
  expect(gpu.received).toHaveLength(1);
  expect(stored.size).toBe(0);
});

test.each([
  ['/v1/captions', { image: { url }, max_tokens: 0 }, 400, { type: '/problems/invalid-request' }],
  ['/v1/captions', {}, 400, { type: '/problems/no-image' }],
  [
    '/v1/captions',
    { image: { url: 'http://10.0.0.1/' } },
    400,
    { type: '/problems/image-url-refused' },
  ],
  ['/v1/captions', { image: { sha256: SHA } }, 404, { type: '/problems/unknown-image' }],
  ['/v1/match', { image: { sha256: SHA }, texts: ['a'] }, 400, { type: '/problems/no-image' }],
  [
    '/v1/chat/completions',
    { model: 'x', messages: [] },
    400,
    { error: { type: 'invalid_request_error', param: 'messages' } },
  ],
])(
  'what is wrong with an item is said as its endpoint says it: %s %o',
  async (path, body, status, said) => {
    const { rehearse } = start();
    expect(await rehearse(path, body)).toMatchObject({
      kind: 'reply',
      reply: { status, body: said },
    });
  },
);

test('a reply has the form of its endpoint, and the id of the image that was read', async () => {
  const { run } = start();
  const events = withEmbeddings(' a red dog\n', SHA);
  const caption = await run('/v1/captions', { image: { url } }, frames(events, SHA));
  expect(caption).toMatchObject({
    status: 200,
    sha256: SHA,
    body: { caption: 'a red dog', image: { sha256: SHA, width: 4, height: 3, format: 'png' } },
  });
  const content = [
    { type: 'text', text: 'What is it?' },
    { type: 'image_url', image_url: { url } },
  ];
  const chat = { model: generative.name, messages: [{ role: 'user', content }] };
  expect(await run('/v1/chat/completions', chat, frames(events, SHA))).toMatchObject({
    status: 200,
    body: { object: 'chat.completion', choices: [{ message: { content: 'a red dog' } }] },
  });
});

test('embeddings and scores are results too', async () => {
  const { run } = start();
  const embeddings = await run('/v1/embeddings', { image: { url } }, frames(EMBEDDED, SHA));
  expect(embeddings).toMatchObject({
    status: 200,
    body: { kind: 'query', image: { sha256: SHA }, embeddings: expect.any(Array) },
  });
  const match = await run(
    '/v1/match',
    { image: { url }, texts: ['a dog'] },
    frames(
      [
        { type: 'imageInfo', image: { width: 4, height: 3, format: 'png' } },
        { type: 'scores', scores: [{ itm: 0.5, itc: 0.25 }] },
        { type: 'done', choices: [], timings_ms: {} },
      ],
      SHA,
    ),
  );
  expect(match).toMatchObject({
    status: 200,
    body: { scores: [{ text: 'a dog', itm: 0.5, itc: 0.25 }], image: { sha256: SHA } },
  });
  const texts = await run(
    '/v1/embeddings',
    { text: 'a dog', kind: 'itc' },
    frames([
      { type: 'texts', embeddings: [[1, 0]] },
      { type: 'done', choices: [], timings_ms: {} },
    ]),
  );
  expect(texts).toMatchObject({ status: 200, body: { embeddings: [[1, 0]] } });
});

test('what a worker says of an item is said in the form of its endpoint', async () => {
  const { run } = start();
  const content = [{ type: 'image_url', image_url: { url } }];
  const chat = { model: generative.name, messages: [{ role: 'user', content }] };
  const problem = {
    type: '/problems/invalid-image',
    title: '',
    status: 400,
    detail: 'It is cut off.',
  };
  expect(await run('/v1/chat/completions', chat, { kind: 'failed', problem })).toMatchObject({
    status: 400,
    body: { error: { message: expect.stringContaining('It is cut off.') } },
  });
});

test.each([
  [['https://images.example.org/a.png', 'https://images.example.org/b.png']],
  [['a dog', 'https://images.example.org/b.png']],
])('one item asks for one thing: %o', async (input) => {
  const { run } = start();
  const body = { model: retrieval.name, input };
  const events = EMBEDDED;
  const outcome = frames(
    input[0] === 'a dog'
      ? [{ type: 'texts', embeddings: [[1, 0]] }, ...events.slice(-1)]
      : events.map((event) =>
          event.type === 'embeddings' ? { ...event, embeddings: ITC_EMBEDDINGS } : event,
        ),
    SHA,
  );
  expect(await run('/v1/embeddings', body, outcome)).toMatchObject({
    status: 400,
    body: { error: { message: expect.stringContaining('make an item of each') } },
  });
});

test('embeddings of another shape than the model has are no result', async () => {
  const { run } = start();
  const events = EMBEDDED.map((event) =>
    event.type === 'embeddings' ? { ...event, embeddings: ITC_EMBEDDINGS } : event,
  );
  expect(await run('/v1/embeddings', { image: { url } }, frames(events, SHA))).toMatchObject({
    status: 502,
    body: { type: '/problems/bad-gateway' },
  });
});
