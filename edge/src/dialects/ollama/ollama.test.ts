/** Ollama's routes in workerd: what the document describes, options, streams that idle, fail or are left. */
import { ApiError, type ProblemSlug } from '@blip2/shared/errors';
import { type Schema, Validator } from '@cfworker/json-schema';
import { beforeEach, describe, expect, it } from 'vitest';
import { apiDocument, base64, newImage, startEdge, type TestEdge } from '../../testing/edge.ts';
import { generative, retrieval } from '../../testing/models.ts';

const model = generative.name;
const document = apiDocument(startEdge().deps);
const { components } = document;

let edge: TestEdge;
beforeEach(() => {
  edge = startEdge();
});

type Line = Record<string, unknown> & { message?: { content: string }; response?: string };

const image = (bytes = newImage()) => base64(bytes);
const chat = (members: object = {}) => ({
  model,
  messages: [{ role: 'user', content: 'what is it?', images: [image()] }],
  ...members,
});
const generate = (members: object = {}) => ({
  model,
  prompt: 'what is it?',
  images: [image()],
  ...members,
});
const TEXT = [
  ['/api/chat', chat],
  ['/api/generate', generate],
] as const;

function expectValid(schema: object, value: unknown): void {
  const validator = new Validator({ ...schema, components } as Schema, '2020-12', false);
  expect(validator.validate(value).errors).toEqual([]);
}

/** workerd warns of `text()` where the type of a body does not begin with text. */
const textOfBody = async (response: Response) =>
  new TextDecoder().decode(await response.arrayBuffer());

/** Expects the lines that the document describes, and returns them. */
async function linesOf(path: string, response: Response): Promise<Line[]> {
  const text = await textOfBody(response);
  expect(response.status, text).toBe(200);
  expect(response.headers.get('content-type')).toBe('application/x-ndjson');
  expect(text.endsWith('\n')).toBe(true);
  const lines = text
    .slice(0, -1)
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  const { content } = document.paths[path]!.post!.responses[200]!;
  const { contentSchema } = content!['application/x-ndjson']!.schema as { contentSchema: object };
  expectValid(
    contentSchema,
    lines.filter((line) => !('error' in line)),
  );
  return lines;
}

const textOf = ({ message, response }: Line) => message?.content ?? response ?? '';
const generationOf = () => {
  const { request } = edge.gpu.received[0]!;
  return request.kind === 'generate' ? request.generation : undefined;
};

describe.each(TEXT)('POST %s', (path, body) => {
  it('replies in lines where nothing is said, and whole where it is', async () => {
    const lines = await linesOf(path, await edge.post(path, body()));
    expect(lines.length).toBeGreaterThan(2);
    expect(lines.map(textOf).join('')).toBe('a red dog');
    expect(lines.map(({ done }) => done)).toEqual(lines.map((_, i) => i === lines.length - 1));
    const whole = await edge.post(path, body({ stream: false }));
    expect(whole.headers.get('content-type')).toBe('application/json');
    const reply = (await whole.json()) as Line;
    expect(textOf(reply)).toBe('a red dog');
    for (const last of [lines.at(-1)!, reply]) {
      expect(last).toMatchObject({ model, done: true, done_reason: 'stop', load_duration: 0 });
      const { total_duration, prompt_eval_duration, eval_duration } = last as Record<
        string,
        number
      >;
      expect(prompt_eval_duration! + eval_duration!).toBe(total_duration);
      expect(last.eval_count).toBeGreaterThan(0);
      expect(last.prompt_eval_count).toBeGreaterThan(generative.num_query_tokens);
    }
  });

  it('has log-probabilities with the tokens that a line adds', async () => {
    const scored = { logprobs: true, top_logprobs: 2 };
    const lines = await linesOf(path, await edge.post(path, body(scored)));
    const whole = (await (
      await edge.post(path, body({ ...scored, stream: false }))
    ).json()) as Line;
    expect(lines.flatMap(({ logprobs = [] }) => logprobs)).toEqual(whole.logprobs);
    expect(whole.logprobs).toHaveLength(whole.eval_count as number);
  });

  it.each<[string, object, string]>([
    ['JSON as a format', { format: 'json' }, 'format'],
    ['a schema as a format', { format: { type: 'object' } }, 'format'],
    ['reasoning', { think: true }, 'think'],
    ['an effort of reasoning', { think: 'low' }, 'think'],
    ['another template', { template: '{{ .Prompt }}' }, 'template'],
    ['an unknown member', { color: 'red' }, 'color'],
    ['an unknown option', { options: { colour: 1 } }, 'options.colour'],
    ['an option out of its range', { options: { num_beams: 99 } }, 'options.num_beams'],
    ['min_p', { options: { min_p: 0.05 } }, 'options.min_p'],
    ['mirostat', { options: { mirostat: 2 } }, 'options.mirostat'],
    ['typical_p', { options: { typical_p: 0.9 } }, 'options.typical_p'],
    ['tfs_z', { options: { tfs_z: 0.5 } }, 'options.tfs_z'],
    [
      'a short look back of penalties',
      { options: { repeat_penalty: 1.1, repeat_last_n: 8 } },
      'options.repeat_last_n',
    ],
    ['beams that sample', { options: { num_beams: 4, temperature: 1 } }, 'options.num_beams'],
    [
      'more tokens at least than at most',
      { options: { min_tokens: 9, num_predict: 3 } },
      'options.min_tokens',
    ],
  ])('refuses %s, naming it', async (_what, members, field) => {
    const response = await edge.post(path, body(members));
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: string };
    expect(error).toContain(field);
    expect(error).toMatch(/\.$/);
    expect(edge.gpu.received).toEqual([]);
  });

  it('accepts what changes no text, and names of models with a tag', async () => {
    const options = {
      num_ctx: 4096,
      num_gpu: 1,
      num_thread: 8,
      use_mmap: true,
      repeat_last_n: 64,
      repeat_penalty: 1.1,
      min_p: 0,
      typical_p: 1,
      mirostat: 0,
      mirostat_tau: 5,
    };
    const members = { options, keep_alive: '5m', format: '', think: false, shift: true };
    const sent = body({ ...members, model: `${model}:latest`, stream: false });
    const response = await edge.post(path, sent);
    expect(response.status, await response.clone().text()).toBe(200);
    expect(await response.json()).toMatchObject({ model: `${model}:latest` });
    const other = await edge.post(path, body({ model: 'llava:latest' }));
    expect(other.status).toBe(404);
    expect(await other.json()).toEqual({ error: expect.stringContaining(model) });
  });

  it.each<[object, object]>([
    [
      { num_predict: 5, top_k: 40, top_p: 0.9, temperature: 0.7, seed: 2 ** 32 + 3 },
      { max_tokens: 5, top_k: 40, top_p: 0.9, temperature: 0.7, seed: 3 },
    ],
    [
      { num_predict: -1, top_k: -1 },
      { top_k: 0, temperature: 0 },
    ],
    [
      { repeat_penalty: 1.3, presence_penalty: 0.5 },
      { repetition_penalty: 1.3, presence_penalty: 0.5 },
    ],
    [
      { repeat_penalty: 1.3, presence_penalty: 0.5, repeat_last_n: 0 },
      { repetition_penalty: 1, presence_penalty: 0 },
    ],
    [
      { num_beams: 4, length_penalty: 2, min_tokens: 2 },
      { num_beams: 4, length_penalty: 2, min_tokens: 2, n: 1 },
    ],
  ])('maps the options %j', async (options, generation) => {
    await textOfBody(await edge.post(path, body({ options })));
    expect(generationOf()).toMatchObject(generation);
  });

  it('writes to the end of the context where no limit is wanted', async () => {
    await textOfBody(await edge.post(path, body({ options: { num_predict: -2 } })));
    expect(generationOf()!.max_tokens).toBeGreaterThan(generative.max_new_tokens);
  });

  it.each<[ProblemSlug, number]>([
    ['too-many-requests', 429],
    ['overloaded', 503],
    ['deadline-exceeded', 504],
    ['invalid-image', 400],
  ])('passes %s on as its status, streamed or not', async (slug, status) => {
    const isBusy = status === 429 || status === 503;
    edge.gpu.script.refuse = new ApiError(slug, 'As it says.', isBusy ? { retry_after: 3 } : {});
    for (const stream of [false, true]) {
      const response = await edge.post(path, body({ stream }));
      expect(response.status).toBe(status);
      expect(response.headers.get('retry-after')).toBe(isBusy ? '3' : null);
      expect(await response.json()).toEqual({ error: 'As it says.' });
    }
  });

  it('ends a stream that fails with a line that says so', async () => {
    edge.gpu.script.breakOff = true;
    const lines = await linesOf(path, await edge.post(path, body()));
    expect(lines.at(-1)).toEqual({ error: 'The connection to the GPU worker failed.' });
  });

  it('sends spaces, which are no line, while nothing flows', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    edge.gpu.script.start = promise;
    const response = await edge.post(path, body());
    const reader = response.body!.getReader();
    let text = '';
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      if (text === '') {
        expect(new TextDecoder().decode(next.value)).toBe(' ');
        resolve();
      }
      text += new TextDecoder().decode(next.value);
    }
    for (const line of text.trimEnd().split('\n')) expect(JSON.parse(line)).toHaveProperty('done');
  });

  it('ends the work when the client leaves the stream', async () => {
    edge.gpu.script.token = () => Promise.withResolvers<void>().promise;
    const response = await edge.post(path, body());
    await edge.gpu.untilReceived(1);
    await response.body!.cancel();
    await edge.gpu.untilCanceled(1);
  });

  it('asks for an image where there is none, and says that the model is loaded where nothing is asked', async () => {
    edge.gpu.script.isGone = true;
    const content = 'Write a title for this conversation. '.repeat(100);
    const text =
      path === '/api/chat'
        ? { messages: [{ role: 'user', content }] }
        : { prompt: content, images: [] };
    const lines = await linesOf(path, await edge.post(path, body(text)));
    expect(lines.map(textOf).join('')).toContain('Send an image');
    for (const members of [{ messages: [] }, { prompt: '', images: [] }]) {
      const isFor = path === '/api/chat' ? 'messages' : 'prompt';
      if (!(isFor in members)) continue;
      const reply = await edge.post(path, body({ ...members, keep_alive: 0 }));
      expect(await reply.json()).toMatchObject({ done: true, done_reason: 'load' });
    }
  });
});

describe('a conversation', () => {
  const long = (turns: number) =>
    Array.from({ length: turns }, (_, i) => [
      { role: 'user', content: `what is number ${i}?`, images: i === 0 ? ['image'] : [] },
      { role: 'assistant', content: 'a red dog and a blue cat beside a green tree' },
    ]).flat();

  it('loses its oldest turns where all are too many, unless truncate is false', async () => {
    const bytes = image();
    const messages = [...long(40), { role: 'user', content: 'and the last?' }].map((message) =>
      'images' in message && message.images.length > 0 ? { ...message, images: [bytes] } : message,
    );
    expect((await edge.post('/api/chat', chat({ messages }))).status).toBe(200);
    const refused = await edge.post('/api/chat', chat({ messages, truncate: false }));
    expect(refused.status).toBe(400);
    expect(await refused.json()).toEqual({ error: expect.stringMatching(/tokens|characters/) });
  });

  it('names the image that cannot be read, and the second of one message', async () => {
    const one = (images: string[]) => chat({ messages: [{ role: 'user', content: '?', images }] });
    const broken = await edge.post('/api/chat', one(['no base64!']));
    expect(broken.status).toBe(400);
    expect(await broken.json()).toEqual({
      error: expect.stringMatching(/^messages\.0\.images\.0:/),
    });
    const two = await edge.post('/api/chat', one([image(), image()]));
    expect(await two.json()).toEqual({ error: expect.stringMatching(/^messages\.0\.images\.1:/) });
  });

  it('has its image as base64, or with the data: prefix that some clients leave', async () => {
    for (const prefix of ['', 'data:image/png;base64,']) {
      const images = [`${prefix}${image()}`];
      const sent = generate({ images, prompt: '', stream: false });
      expect((await edge.post('/api/generate', sent)).status).toBe(200);
    }
  });
});

it.each([
  ['/api/chat', { tools: [{ type: 'function' }] }, 'tools'],
  ['/api/generate', { suffix: 'end' }, 'suffix'],
  ['/api/generate', { raw: true }, 'raw'],
  ['/api/generate', { context: [1, 2] }, 'context'],
])('%s refuses %j', async (path, members, field) => {
  const response = await edge.post(path, {
    ...(path === '/api/chat' ? chat() : generate()),
    ...members,
  });
  expect(response.status).toBe(400);
  expect(await response.json()).toEqual({
    error: expect.stringMatching(new RegExp(`^${field}: `)),
  });
});

describe('embeddings', () => {
  const embed = (members: object) => edge.post('/api/embed', { model: retrieval.name, ...members });

  it('are one for each input, in both forms', async () => {
    const both = (await (await embed({ input: ['a dog', 'a cat'] })).json()) as Line;
    expect(both).toMatchObject({ model: retrieval.name, prompt_eval_count: expect.any(Number) });
    expect(both.embeddings).toHaveLength(2);
    const one = { model: `${retrieval.name}:latest`, prompt: 'a dog', keep_alive: 0 };
    const { embedding } = (await (await edge.post('/api/embeddings', one)).json()) as Line;
    expect(embedding).toEqual((both.embeddings as number[][])[0]);
  });

  it('of texts that are too long are of their beginnings, unless truncate is false', async () => {
    const input = 'a red dog '.repeat(1000);
    expect((await embed({ input })).status).toBe(200);
    const { request } = edge.gpu.received[0]!;
    const [ids] = request.kind === 'embed-texts' ? request.texts : [];
    expect(ids).toHaveLength(retrieval.max_positions);
    expect(ids!.at(-1)).toBe(retrieval.sep_token_id);
    const refused = await embed({ input, truncate: false });
    expect(refused.status).toBe(400);
    expect(await refused.json()).toEqual({ error: expect.stringMatching(/^input has/) });
  });

  it('have the width of the model alone', async () => {
    expect((await embed({ input: 'a', dimensions: retrieval.itc_hidden })).status).toBe(200);
    expect((await embed({ input: 'a', dimensions: 8 })).status).toBe(400);
  });
});

describe('models', () => {
  it('are listed, loaded and shown, with what they do', async () => {
    const get = async (path: string) => (await (await edge.request(path)).json()) as Line;
    const name = `${model}:latest`;
    const listed = { models: [{ name, model: name, digest: generative.revision }] };
    expect(await get('/api/tags')).toMatchObject(listed);
    expect(await get('/api/ps')).toMatchObject(listed);
    expect(await get('/api/version')).toEqual({
      version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
    });
    for (const asked of [{ model }, { name }, { model: name, verbose: true }]) {
      const shown = (await (await edge.post('/api/show', asked)).json()) as Line;
      expect(shown).toMatchObject({
        capabilities: expect.arrayContaining(['completion', 'vision']),
        model_info: {
          'general.architecture': 'blip2',
          'blip2.context_length': generative.max_positions,
        },
      });
    }
  });

  it('have the capability of their kind, each under its own name', async () => {
    const { generate: written, retrieve } = startEdge().deps.models;
    edge = startEdge({
      models: {
        generate: { ...written, name: 'blip2-opt-2.7b' },
        retrieve: { ...retrieve!, name: 'blip2-itm-vit-g' },
      },
    });
    const capabilities = async (name: string) =>
      ((await (await edge.post('/api/show', { model: name })).json()) as Line).capabilities;
    expect(await capabilities('Salesforce/blip2-opt-2.7b')).toEqual(['completion', 'vision']);
    expect(await capabilities('blip2-itm-vit-g:latest')).toEqual(['embedding']);
    const wrong = await edge.post('/api/chat', chat({ model: 'blip2-itm-vit-g' }));
    expect(wrong.status).toBe(404);
    expect(await wrong.json()).toEqual({ error: expect.stringContaining('use blip2-opt-2.7b') });
  });

  it.each([
    ['POST', '/api/pull'],
    ['POST', '/api/push'],
    ['POST', '/api/create'],
    ['POST', '/api/copy'],
    ['DELETE', '/api/delete'],
    ['HEAD', '/api/blobs/sha256:29fdb92e57cf0827ded04ae6461b5931d01fa595843f55d36f5b275a52087dd2'],
  ])('are not changed by %s %s, which says why', async (method, path) => {
    const response = await edge.request(path, { method });
    expect(response.status).toBe(404);
    if (method !== 'HEAD') {
      expect(await response.json()).toEqual({ error: expect.stringContaining('/api/tags') });
    }
  });

  it('are asked for by probes of front ends', async () => {
    for (const path of ['/', '/api/version', '/api/tags']) {
      expect((await edge.request(path, { method: 'HEAD' })).status).toBe(200);
    }
    const nowhere = await edge.request('/api/nothing');
    expect(nowhere.status).toBe(404);
    expect(await nowhere.json()).toEqual({ error: expect.stringContaining('/openapi.json') });
  });
});

it('asks for a key in its own form where one is needed, and lets probes of the address through', async () => {
  edge = startEdge({ env: { ALLOW_ANONYMOUS: '' } });
  for (const response of [await edge.post('/api/chat', chat()), await edge.request('/api/tags')]) {
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toMatch(/^Bearer/);
    expect(await response.json()).toEqual({ error: expect.stringContaining('sk-…') });
  }
  expect((await edge.request('/', { method: 'HEAD' })).status).toBe(200);
});
