/** Every row of bad input gets its problem document, and nothing is sent to the GPU worker. */
import { Problem } from '@blip2/shared/errors';
import { beforeEach, describe, expect, it } from 'vitest';
import { base64, newImage, startEdge, type TestEdge } from '../testing/edge.ts';
import { generative } from '../testing/models.ts';

let edge: TestEdge;
beforeEach(() => {
  edge = startEdge();
});

const data = base64(newImage());
const image = { data };
const sha256 = '0'.repeat(64);

async function expectProblem(response: Response, slug: string, members: Partial<Problem> = {}) {
  const text = await response.text();
  expect(text).not.toMatch(/\bat .*\.ts:\d+/);
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  expect(response.headers.get('x-request-id')).toBeTruthy();
  const problem = Problem.parse(JSON.parse(text));
  expect(problem).toMatchObject({ type: `/problems/${slug}`, ...members });
  expect(response.status).toBe(problem.status);
  expect(edge.gpu.received).toEqual([]);
}

describe('JSON', () => {
  it.each<[string, unknown, string, string | undefined]>([
    ['no image', {}, 'no-image', 'image'],
    ['an empty image', { image: {} }, 'no-image', 'image'],
    ['two images', { image: { data, sha256 } }, 'several-images', 'image'],
    ['bad base64', { image: { data: '!!!' } }, 'invalid-base64', 'image.data'],
    ['a data: URL without data', { image: { data: 'data:,' } }, 'no-image', 'image'],
    ['a data: URL without a comma', { image: { data: 'data:x' } }, 'invalid-base64', 'image.data'],
    ['no bytes', { image: { data: '' } }, 'no-image', 'image'],
    ['noise', { image: { data: btoa('x'.repeat(50)) } }, 'invalid-image', 'image'],
    ['a known format', { image: { data: btoa('%PDF-1.7') } }, 'unsupported-media-type', 'image'],
    ['an unknown field', { image, color: 'red' }, 'invalid-request', 'color'],
    ['an unknown image field', { image: { data, x: 1 } }, 'invalid-request', 'image.x'],
    ['an image as text', { image: 'a dog!' }, 'invalid-base64', 'image'],
    ['a bad hash', { image: { sha256: 'abc' } }, 'invalid-request', 'image.sha256'],
    ['a wrong type', { image, max_tokens: 'many' }, 'invalid-request', 'max_tokens'],
    ['a fraction of a token', { image, max_tokens: 1.5 }, 'invalid-request', 'max_tokens'],
    ['no tokens', { image, max_tokens: 0 }, 'invalid-request', 'max_tokens'],
    ['beams that sample', { image, num_beams: 2, temperature: 1 }, 'invalid-request', 'num_beams'],
    ['more texts than beams', { image, num_beams: 2, n: 3 }, 'invalid-request', 'n'],
    ['several greedy texts', { image, n: 2 }, 'invalid-request', 'n'],
    [
      'top_logprobs without logprobs',
      { image, top_logprobs: 2 },
      'invalid-request',
      'top_logprobs',
    ],
    ['an empty stop sequence', { image, stop: [''] }, 'invalid-request', 'stop.0'],
    ['too many stop sequences', { image, stop: Array(9).fill('x') }, 'invalid-request', 'stop'],
    [
      'an unknown early_stopping',
      { image, early_stopping: 'no' },
      'invalid-request',
      'early_stopping',
    ],
    ['a hot temperature', { image, temperature: 9 }, 'invalid-request', 'temperature'],
    ['a negative seed', { image, seed: -1 }, 'invalid-request', 'seed'],
    ['a wrong stream', { image, stream: 'yes' }, 'invalid-request', 'stream'],
    ['an unknown image', { image: { sha256 } }, 'unknown-image', 'image.sha256'],
    ['an array', [1], 'invalid-request', undefined],
    ['a private URL', { image: { url: 'http://10.0.0.1/' } }, 'image-url-refused', 'image.url'],
  ])('%s is refused', async (_name, body, slug, field) => {
    await expectProblem(await edge.post('/v1/captions', body), slug, field ? { field } : {});
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['what is missing', { image, question: undefined }, 'question: is required.'],
    [
      'a fraction',
      { image, question: 'x', min_tokens: 1.5 },
      'min_tokens: must be a whole number from 0 to 32768.',
    ],
    [
      'a number as text',
      { image, question: 'x', temperature: '1' },
      'temperature: must be a number from 0 to 5.',
    ],
    [
      'one of several kinds, as text',
      { image, question: 'x', early_stopping: 'true' },
      'early_stopping: must be true, false or never.',
    ],
    [
      'a word for true',
      { image, question: 'x', stream: 'yes' },
      'stream: must be true or false; in forms and queries 1 and 0, yes and no, on and off are read as well.',
    ],
    [
      'a number for true',
      { image, question: 'x', logprobs: 1 },
      'logprobs: must be true or false.',
    ],
    [
      'a name in capitals',
      { image, question: 'x', MAX_TOKENS: 5 },
      'There is no field MAX_TOKENS; did you mean max_tokens?',
    ],
    [
      'a name for which another one is missing',
      { image, Question: 'x' },
      'There is no field Question; did you mean question?',
    ],
    [
      'a conversation as others write it',
      { messages: [{ role: 'user', content: 'x' }] },
      'There is no field messages: use question and history.',
    ],
    [
      'a member of another route',
      { image, question: 'x', prompt: 'y' },
      'There is no field prompt: /v1/captions takes it, as the beginning of a caption.',
    ],
    [
      'a mistyped name',
      { image, question: 'x', max_tokns: 5 },
      'There is no field max_tokns; did you mean max_tokens?',
    ],
    [
      'a name in another style',
      { image, question: 'x', noRepeatNgramSize: 2 },
      'There is no field noRepeatNgramSize; did you mean no_repeat_ngram_size?',
    ],
    [
      'a name of transformers with another meaning',
      { image, question: 'x', max_length: 50 },
      'There is no field max_length: use max_tokens, which counts the tokens of the new text alone.',
    ],
    [
      'the image as OpenAI names it',
      { image: { type: 'image_url', image_url: { url: 'https://a.example' } }, question: 'x' },
      'There is no field image.image_url: use image.url, or image with the URL.',
    ],
    [
      'a long unknown name',
      { image, question: 'x', ['y'.repeat(500)]: 1 },
      `There is no field ${'y'.repeat(100)}….`,
    ],
    [
      'two names of one option',
      { image, question: 'x', max_tokens: 5, max_new_tokens: 6 },
      'max_new_tokens: is another name of max_tokens, and max_tokens is 5: give one of them.',
    ],
    [
      'an option under another name that is out of its range',
      { image, question: 'x', num_return_sequences: 0 },
      'num_return_sequences: must be at least 1.',
    ],
    [
      'an image that is a list',
      { image: [data], question: 'x' },
      'image: must be of type object or string.',
    ],
    [
      'neither of two types',
      { image, question: 'x', stop: 7 },
      'stop: must be of type string or array.',
    ],
    ['null where a value is needed', { image, question: null }, 'question: is required.'],
    ['null in a list', { image, question: 'x', stop: [null] }, 'stop.0: must be of type string.'],
    ['a number too large', { image, question: 'x', top_p: 2 }, 'top_p: must be at most 1.'],
    [
      'too many',
      { image, question: 'x', stop: Array(9).fill('x') },
      'stop: must have at most 8 entries.',
    ],
  ])('with %s is refused in plain words', async (_name, body, detail) => {
    await expectProblem(await edge.post('/v1/answers', body), 'invalid-request', { detail });
  });

  it('that cannot be parsed is refused', async () => {
    const headers = { 'content-type': 'application/json' };
    const response = await edge.request('/v1/captions', { method: 'POST', headers, body: '{' });
    await expectProblem(response, 'invalid-json');
  });
});

describe('questions', () => {
  it.each<[string, Record<string, unknown>, string]>([
    ['a missing one', {}, 'question'],
    ['a blank one', { question: ' \n' }, 'question'],
    ['a number', { question: 7 }, 'question'],
    [
      'a blank one before',
      { question: 'x', history: [{ question: '', answer: '' }] },
      'history.0.question',
    ],
    ['a history that is no list', { question: 'x', history: 'y' }, 'history'],
    [
      'an unknown field in a turn',
      { question: 'x', history: [{ question: 'y', answer: 'z', who: 1 }] },
      'history.0.who',
    ],
  ])('%s is refused', async (_name, members, field) => {
    await expectProblem(await edge.post('/v1/answers', { image, ...members }), 'invalid-request', {
      field,
    });
  });

  it.each<[string, string, number]>([
    [
      'tokens',
      'what is it? '.repeat(250),
      generative.max_positions - generative.num_query_tokens - 1,
    ],
    ['characters', 'x'.repeat(50_000), 4096],
  ])('of too many %s are refused with the count and the limit', async (unit, question, limit) => {
    const response = await edge.post('/v1/answers', { image, question });
    const { actual = 0 } = Problem.parse(await response.clone().json());
    expect(actual).toBeGreaterThan(limit);
    const detail = `The text has ${actual} ${unit}; beside the image there is room for ${limit}.`;
    await expectProblem(response, 'prompt-too-long', { detail, field: 'question', limit, actual });
  });

  it('with a long history are refused with what can be left out', async () => {
    const history = [{ question: 'x'.repeat(1000), answer: 'y'.repeat(1000) }];
    const body = { image, question: 'x'.repeat(2500), history };
    const response = await edge.post('/v1/answers', body);
    const problem = Problem.parse(await response.json());
    expect(problem).toMatchObject({ type: '/problems/prompt-too-long', limit: 4096 });
    expect(problem).toMatchObject({ field: 'history' });
    expect(problem.detail).toMatch(/Leave out the oldest turns\.$/);
  });

  it('of captions that begin with too much are refused with the name of the field', async () => {
    const response = await edge.post('/v1/captions', { image, prompt: 'a dog '.repeat(500) });
    await expectProblem(response, 'prompt-too-long', { field: 'prompt' });
  });
});

describe('raw bodies', () => {
  it.each<[string, BodyInit | null, string | undefined, string]>([
    ['nothing', null, undefined, 'no-image'],
    ['an empty body', '', 'image/png', 'no-image'],
    ['text', 'hello', 'text/plain', 'unsupported-media-type'],
    ['an SVG', '<svg/>', 'image/svg+xml', 'unsupported-media-type'],
    ['an SVG declared as PNG', '<svg xmlns="x"/>', 'image/png', 'unsupported-media-type'],
    ['a TIFF', 'II*\0rest', 'image/tiff', 'unsupported-media-type'],
    ['noise', new Uint8Array(2000).fill(7), 'image/png', 'invalid-image'],
    ['too many bytes', new Uint8Array(100_001), 'image/png', 'body-too-large'],
  ])('%s is refused', async (_name, body, type, slug) => {
    const headers: Record<string, string> = type === undefined ? {} : { 'content-type': type };
    await expectProblem(
      await edge.request('/v1/captions', { method: 'POST', headers, body }),
      slug,
    );
  });

  it('that turn out to be over the limit while they are read are refused', async () => {
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += 10_000;
        controller.enqueue(new Uint8Array(10_000));
      },
    });
    const headers = { 'content-type': 'image/png' };
    const response = await edge.request('/v1/captions', { method: 'POST', headers, body });
    await expectProblem(response, 'body-too-large', { limit: 100_000 });
    expect(sent).toBeLessThan(200_000);
  });

  it.each([
    ['?max_tokens=many', 'max_tokens'],
    ['?color=red', 'color'],
    ['?__proto__=1', '__proto__'],
    ['?seed=1&seed=2', 'seed'],
    ['?stream=maybe', 'stream'],
  ])('with %s are refused', async (query, field) => {
    const headers = { 'content-type': 'image/png' };
    const response = await edge.post(`/v1/captions${query}`, newImage(), headers);
    await expectProblem(response, 'invalid-request', { field });
  });
});

describe('forms', () => {
  const file = () => new File([newImage()], 'a.png', { type: 'image/png' });

  it.each<[string, [string, string | File][], string, string]>([
    ['no image', [['prompt', 'a']], 'no-image', 'image'],
    [
      'two images',
      [
        ['image', file()],
        ['image', file()],
      ],
      'several-images',
      'image',
    ],
    ['an image as text', [['image', 'a dog!']], 'invalid-base64', 'image'],
    [
      'an unknown file',
      [
        ['image', file()],
        ['mask', file()],
      ],
      'invalid-request',
      'mask',
    ],
    [
      'an unknown field',
      [
        ['image', file()],
        ['color', 'red'],
      ],
      'invalid-request',
      'color',
    ],
    [
      'a wrong type',
      [
        ['image', file()],
        ['top_k', 'x'],
      ],
      'invalid-request',
      'top_k',
    ],
    ['an empty file', [['image', new File([], 'a.png')]], 'no-image', 'image'],
  ])('with %s are refused', async (_name, entries, slug, field) => {
    const form = new FormData();
    for (const [name, value] of entries) form.append(name, value);
    await expectProblem(await edge.post('/v1/captions', form), slug, { field });
  });

  it('that are broken are refused', async () => {
    const headers = { 'content-type': 'multipart/form-data; boundary=x' };
    const response = await edge.request('/v1/captions', { method: 'POST', headers, body: 'junk' });
    await expectProblem(response, 'invalid-multipart');
  });
});

describe('routes', () => {
  it.each([
    ['GET', '/v1/captions', 'POST, OPTIONS'],
    ['DELETE', '/v1/embeddings', 'POST, OPTIONS'],
    ['POST', `/v1/embeddings/${sha256}`, 'GET, HEAD, OPTIONS'],
    ['POST', '/healthz', 'GET, HEAD, OPTIONS'],
  ])('%s %s gets 405 with Allow', async (method, path, allow) => {
    const response = await edge.request(path, { method });
    expect(response.headers.get('allow')).toBe(allow);
    await expectProblem(response, 'method-not-allowed');
  });

  it('that do not exist get a 404', async () => {
    await expectProblem(await edge.request('/v1/nothing'), 'not-found');
  });

  it('refuse an empty and an unknown member of POST /v1/embeddings', async () => {
    await expectProblem(await edge.post('/v1/embeddings', {}), 'no-image', { field: 'image' });
    const response = await edge.post('/v1/embeddings', { image, prompt: 'a' });
    await expectProblem(response, 'invalid-request', { field: 'prompt' });
  });
});
