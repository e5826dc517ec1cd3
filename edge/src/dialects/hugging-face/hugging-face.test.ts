/** Hugging Face's routes in workerd: what the document describes, statuses that its client can take, tasks by their form. */
import { ApiError, PROBLEMS, type ProblemSlug } from '@blip2/shared/errors';
import { type Schema, Validator } from '@cfworker/json-schema';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { apiDocument, base64, newImage, startEdge, type TestEdge } from '../../testing/edge.ts';
import { generative, retrieval } from '../../testing/models.ts';
import { dearWork } from '../../turns/dear-work.ts';
import { sharesOf } from './classify.ts';
import { huggingFaceStatus } from './errors.ts';

const document = apiDocument(startEdge().deps);

let edge: TestEdge;
beforeEach(() => {
  edge = startEdge();
});

/** Expects the reply that the document describes, and returns its JSON. */
async function expectDescribed(path: string, response: Response, status = 200): Promise<unknown> {
  const text = await response.text();
  expect(response.status, text).toBe(status);
  expect(response.headers.get('content-type')).toMatch(/^application\/json/);
  expect(response.headers.get('x-request-id')).toBeTruthy();
  const { schema } = document.paths[path]!.post!.responses[status]!.content!['application/json']!;
  const all = { ...schema, components: document.components } as Schema;
  const value: unknown = JSON.parse(text);
  expect(new Validator(all, '2020-12', false).validate(value).errors).toEqual([]);
  return value;
}

const image = () => base64(newImage());

/** By path: a valid request. */
const VALID: Record<string, () => Record<string, unknown>> = {
  '/hf/image-to-text': () => ({ inputs: image(), parameters: { max_new_tokens: 9 } }),
  '/hf/visual-question-answering': () => ({ inputs: { question: 'what?', image: image() } }),
  '/hf/zero-shot-image-classification': () => ({
    inputs: { image: image() },
    parameters: { candidate_labels: ['a dog', 'two dogs on a mat'] },
  }),
  '/hf/feature-extraction': () => ({ inputs: ['a dog', 'a cat'], normalize: true }),
  '/hf/sentence-similarity': () => ({
    inputs: { source_sentence: 'a dog', sentences: ['a cat', 'a dog'] },
    parameters: {},
  }),
};
const TASKS = Object.entries(VALID);

describe.each(TASKS)('POST %s', (path, body) => {
  it('replies as described, on the path of the model too', async () => {
    const name = /image-to|answering/.test(path) ? generative.name : retrieval.name;
    const value = await expectDescribed(path, await edge.post(path, body()));
    const named = await edge.post(`${path}/${name}`, body());
    await expectDescribed(`${path}/{id}`, named);
    const inferred = await edge.post(`/hf/models/${name}`, body());
    const shape = (one: unknown) => JSON.stringify(one).replaceAll(/[\d.e-]+/g, '0');
    expect(shape(await expectDescribed('/hf/models/{id}', inferred))).toBe(shape(value));
  });

  it.each<[string, (valid: Record<string, unknown>) => object | Uint8Array, number, string]>([
    ['no JSON', () => new TextEncoder().encode('{'), 400, 'invalid-json'],
    ['nothing', () => new Uint8Array(), 400, 'no-image'],
    ['an unknown member', (valid) => ({ ...valid, color: 'red' }), 400, 'invalid-request'],
    ['no inputs', ({ parameters }) => ({ parameters }), 400, 'invalid-request'],
    ['odd inputs', (valid) => ({ ...valid, inputs: 5 }), 400, 'invalid-request'],
    ['odd parameters', (valid) => ({ ...valid, parameters: 5 }), 400, 'invalid-request'],
    ['another option', (valid) => ({ ...valid, options: { x: 1 } }), 400, 'invalid-request'],
    ['too many bytes', (valid) => ({ ...valid, x: 'x'.repeat(300_000) }), 413, 'body-too-large'],
  ])('refuses %s', async (_what, change, status, slug) => {
    const value = await expectDescribed(path, await edge.post(path, change(body())), status);
    expect(value).toMatchObject({ error_type: slug });
    expect(edge.gpu.received).toEqual([]);
  });

  it('refuses a model that is not served', async () => {
    const value = await expectDescribed(
      `${path}/{id}`,
      await edge.post(`${path}/google/vit%2Fb`, body()),
      404,
    );
    expect(value).toMatchObject({ error: expect.stringContaining('"google/vit/b"') });
  });

  it.each<[ProblemSlug, number]>([
    ['too-many-requests', 429],
    ['overloaded', 429],
    ['shutting-down', 429],
    ['computation-failed', 500],
    ['deadline-exceeded', 504],
  ])('passes %s on with a status that is not sent again', async (slug, status) => {
    const waits = status === 429;
    const extras = waits ? { retry_after: 3 } : {};
    edge.gpu.script.refuse = new ApiError(slug, 'As the GPU worker says.', extras);
    const response = await edge.post(path, body());
    expect(response.headers.get('retry-after')).toBe(waits ? '3' : null);
    expect(await expectDescribed(path, response, status)).toEqual({
      error: 'As the GPU worker says.',
      error_type: slug,
    });
  });

  it('says that the GPU worker is gone without the status 503', async () => {
    edge.gpu.script.isGone = true;
    const value = await expectDescribed(path, await edge.post(path, body()), 500);
    expect(value).toMatchObject({ error_type: 'worker-unavailable' });
  });
});

describe('chat', () => {
  const url = () => `data:image/png;base64,${image()}`;
  const messages = () => [
    { role: 'user', content: [{ type: 'image_url', image_url: { url: url() } }] },
  ];
  const PATHS = ['/hf/v1/chat/completions', `/hf/models/${generative.name}/v1/chat/completions`];

  it.each(PATHS)('%s ends a stream that fails with its error', async (path) => {
    edge.gpu.script.breakOff = true;
    const reply = await edge.post(path, { messages: messages(), stream: true });
    expect(reply.headers.get('content-type')).toMatch(/^text\/event-stream/);
    const lines = (await reply.text()).split('\n').filter((line) => line.startsWith('data: '));
    expect(JSON.parse(lines.at(-1)?.slice(6) ?? '')).toMatchObject({
      error: { message: 'The connection to the GPU worker failed.' },
    });
  });

  it.each(PATHS)('%s ends the work when the client leaves the stream', async (path) => {
    edge.gpu.script.token = () => new Promise(() => {});
    const reply = await edge.post(path, { messages: messages(), stream: true });
    await reply.body?.cancel();
    await edge.gpu.untilCanceled(1);
  });

  it.each(PATHS)('%s takes what stands for no model', async (path) => {
    for (const model of ['http://127.0.0.1/hf', 'dummy', '', null, undefined, generative.name]) {
      const response = await edge.post(path, { model, messages: messages() });
      expect(await response.json()).toMatchObject({ model: generative.name });
    }
    for (const model of ['gpt2', 5]) {
      const response = await edge.post(path, { model, messages: messages() });
      expect(response.status).toBe(model === 5 ? 400 : 404);
    }
  });

  it.each(PATHS)('%s never has the status 503, streamed or not', async (path) => {
    edge.gpu.script.refuse = new ApiError('overloaded', 'Busy.', { retry_after: 1 });
    for (const stream of [false, true]) {
      const response = await edge.post(path, { messages: messages(), stream });
      expect(response.status).toBe(429);
      expect(await response.json()).toEqual({ error: 'Busy.', error_type: 'overloaded' });
    }
  });
});

it('no problem has the status 503', () => {
  for (const slug of Object.keys(PROBLEMS) as ProblemSlug[]) {
    expect(huggingFaceStatus(slug), slug).not.toBe(503);
  }
  const texts = Object.entries(document.paths).filter(([path]) => path.startsWith('/hf/'));
  expect(texts.length).toBeGreaterThan(10);
  for (const [path, { post }] of texts)
    expect(Object.keys(post!.responses), path).not.toContain('503');
});

describe('an image as the body', () => {
  it.each(['', 'image/png', 'application/octet-stream', 'text/plain', 'application/json'])(
    'of the type %j is captioned, with the parameters of the query',
    async (type) => {
      for (const path of ['/hf/image-to-text', `/hf/models/${generative.name}`]) {
        const response = await edge.post(`${path}?max_new_tokens=7`, newImage(), {
          'content-type': type,
        });
        const template = path.startsWith('/hf/models') ? '/hf/models/{id}' : path;
        const value = await expectDescribed(template, response);
        expect(value).toEqual({ generated_text: 'a red dog' });
        expect(edge.gpu.received.at(-1)?.request).toMatchObject({ generation: { max_tokens: 7 } });
      }
    },
  );

  it('is compared with labels of the query', async () => {
    const query = 'candidate_labels=a dog&candidate_labels=two dogs on a mat';
    for (const path of ['/hf/zero-shot-image-classification', `/hf/models/${retrieval.name}`]) {
      const response = await edge.post(`${path}?${query}`, newImage());
      const labels = (await response.json()) as { label: string; score: number }[];
      expect(labels.map(({ label }) => label)).toEqual(['a dog', 'two dogs on a mat']);
    }
  });

  it('refuses a form and a text, and says what is read', async () => {
    const form = new FormData();
    form.set('image', new Blob([newImage()]));
    for (const body of [form, new TextEncoder().encode('hello there')]) {
      const headers = body instanceof FormData ? {} : { 'content-type': 'text/plain' };
      const response = await edge.post('/hf/image-to-text', body, headers);
      const value = await expectDescribed('/hf/image-to-text', response, 415);
      expect(value).toMatchObject({ error: expect.stringMatching(/JSON\.$/) });
      expect(JSON.stringify(value)).not.toContain('urlencoded');
    }
  });

  it('needs a question', async () => {
    const path = '/hf/visual-question-answering';
    const value = await expectDescribed(path, await edge.post(path, newImage()), 400);
    expect(value).toMatchObject({ error: expect.stringContaining('inputs.question: is required') });
  });

  it('refuses an unknown parameter of the query by its name', async () => {
    const path = '/hf/image-to-text';
    const response = await edge.post(`${path}?color=red`, newImage());
    const value = await expectDescribed(path, response, 400);
    expect(value).toMatchObject({ error: expect.stringContaining('parameters.color') });
  });
});

it('options in several places may not contradict each other', async () => {
  const path = '/hf/image-to-text';
  const send = (parameters: object) => edge.post(path, { inputs: image(), parameters });
  const same = { num_beams: 2, generate_kwargs: { num_beams: 2 } };
  await expectDescribed(path, await send(same));
  const other = { num_beams: 2, generation_parameters: { num_beams: 3 } };
  const value = await expectDescribed(path, await send(other), 400);
  expect(value).toMatchObject({
    error: expect.stringContaining('parameters.generation_parameters.num_beams'),
  });
});

describe('truncate', () => {
  const FEATURES = '/hf/feature-extraction';
  const { max_positions, cls_token_id, sep_token_id, tokenizer } = retrieval;
  const room = max_positions - 2;
  const idsOf = async (members: object) => {
    const reply = await edge.post(FEATURES, members);
    expect(reply.status, await reply.clone().text()).toBe(200);
    const { request } = edge.gpu.received.at(-1) ?? {};
    return request?.kind === 'embed-texts' ? request.texts[0] : undefined;
  };

  it('changes nothing of a text that fits', async () => {
    const inputs = 'a pizza above an octopus';
    const whole = await idsOf({ inputs });
    for (const truncation_direction of ['left', 'right', 'Right', undefined]) {
      expect(await idsOf({ inputs, truncate: true, truncation_direction })).toEqual(whole);
    }
  });

  it.each([100, 10_000])('leaves out the end that is named, of %i words', async (count) => {
    const words = ['pizza', 'octopus', 'cow', 'two', 'above'];
    const inputs = Array.from({ length: count }, (_, i) => words[i % words.length]).join(' ');
    const all = tokenizer().encode(inputs);
    expect(all.length).toBeGreaterThan(room);
    const framed = (tokens: number[]) => [cls_token_id, ...tokens, sep_token_id];
    expect(await idsOf({ inputs, truncate: true })).toEqual(framed(all.slice(0, room)));
    for (const parameters of [{}, { truncation_direction: 'Left' }]) {
      const members = { inputs, parameters: { truncate: true, ...parameters } };
      const cut = 'truncation_direction' in parameters ? all.slice(-room) : all.slice(0, room);
      expect(await idsOf(members)).toEqual(framed(cut));
    }
  });

  it.each<[string, object, ProblemSlug, string]>([
    ['without it', {}, 'prompt-too-long', 'inputs has'],
    ['false', { truncate: false }, 'prompt-too-long', 'inputs has'],
    [
      'another direction',
      { truncate: true, truncation_direction: 'up' },
      'invalid-request',
      'right or left',
    ],
    [
      'two values',
      { truncate: true, parameters: { truncate: false } },
      'invalid-request',
      'another value',
    ],
    [
      'words without end',
      { truncate: true, inputs: 'x'.repeat(20_000) },
      'prompt-too-long',
      '16384',
    ],
  ])('is an error where nobody says what is left out: %s', async (_, members, slug, words) => {
    const reply = await edge.post(FEATURES, { inputs: 'a cow '.repeat(200), ...members });
    expect(reply.status).toBe(400);
    const error = expect.stringContaining(words);
    expect(await reply.json()).toEqual({ error, error_type: slug });
  });
});

it('a label is put into its template to the letter', async () => {
  const candidate_labels = ['$& dogs', "$'"];
  const parameters = { candidate_labels, hypothesis_template: 'a photo of {}' };
  const response = await edge.post('/hf/zero-shot-image-classification', {
    inputs: image(),
    parameters,
  });
  expect(response.status).toBe(200);
  const { encode } = retrieval.tokenizer();
  const { request } = edge.gpu.received.at(-1)!;
  expect(request).toMatchObject({
    texts: candidate_labels.map((label) => [
      retrieval.cls_token_id,
      ...encode.call(retrieval.tokenizer(), `a photo of ${label}`),
      retrieval.sep_token_id,
    ]),
  });
});

describe('a template of labels', () => {
  const classify = (candidate_labels: string[], hypothesis_template?: string) =>
    edge.post('/hf/zero-shot-image-classification', {
      inputs: image(),
      parameters: { candidate_labels, hypothesis_template },
    });

  it('has 256 characters at most, since each label gets a copy of it', async () => {
    expect((await classify(['a dog'], `{}${'x'.repeat(254)}`)).status).toBe(200);
    const refused = await classify(['a dog'], `{}${'x'.repeat(255)}`);
    expect(refused.status).toBe(400);
    expect(await refused.json()).toEqual({
      error: 'parameters.hypothesis_template: must have at most 256 characters.',
      error_type: 'invalid-request',
    });
    const { schemas } = document.components as unknown as { schemas: object };
    expect(JSON.stringify(schemas)).toContain('"maxLength":256');
  });

  it('and long labels become tokens a turn at a time', async () => {
    const turn = vi.spyOn(dearWork, 'turn').mockResolvedValue();
    try {
      // Each is one word that is too long for more than one token.
      const labels = Array.from({ length: 64 }, (_, n) => `${n}${'x'.repeat(1000)}`);
      expect((await classify(labels)).status).toBe(200);
      // That of the request, and one after each 25,000 characters.
      expect(turn).toHaveBeenCalledTimes(3);
    } finally {
      turn.mockRestore();
    }
  });
});

it('probabilities that are all zero are shared evenly', () => {
  expect(sharesOf([0, 0])).toEqual([0.5, 0.5]);
  expect(sharesOf([0.3, 0.1])).toEqual([0.3 / 0.4, 0.1 / 0.4]);
});

it('a preflight knows names of models with a slash', async () => {
  const response = await edge.request('/hf/models/Salesforce/blip2-opt-2.7b', {
    method: 'OPTIONS',
    headers: {
      origin: 'https://x.example',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization',
    },
  });
  expect(response.status).toBe(204);
  expect(response.headers.get('access-control-allow-headers')).toContain('authorization');
});
