/** What a request may have besides its image, in every form that requests have: refused with the limit, never echoed. */
import { ApiError } from '@blip2/shared/errors';
import { AnswerRequest } from '@blip2/shared/schemas/answers';
import { MatchRequest } from '@blip2/shared/schemas/match';
import { validate } from '@blip2/shared/validate';
import { describe, expect, it } from 'vitest';
import * as z from 'zod/mini';
import { base64, newImage, startEdge } from '../testing/edge.ts';
import { generative } from '../testing/models.ts';
import { readRequest } from './request-body.ts';

const MEBIBYTE = 2 ** 20;
const LIMITS = {
  maxImageBytes: 20 * MEBIBYTE,
  maxBodyBytes: 30 * MEBIBYTE,
  maxHeldBytes: 48 * 2 ** 20,
  waitUntil: () => {},
  client: 'test',
  deadlineMs: 5000,
};
const fields = z.strictObject({ ...AnswerRequest.shape, ...MatchRequest.shape });
const { image: _image, ...others } = fields.shape;
const form = {
  schema: fields,
  check: (members: Record<string, unknown>) => validate(z.partial(z.strictObject(others)), members),
};

const JSON_TYPE = 'application/json';
const FORM = 'application/x-www-form-urlencoded';
const MULTIPART = 'multipart/form-data; boundary=b';

const read = (type: string, body: string) => {
  const headers = { 'content-type': type };
  const request = new Request('http://edge.test/v1/answers', { method: 'POST', headers, body });
  return readRequest(request, LIMITS, form);
};
const part = (name: string, text: string, ...headers: string[]) =>
  ['--b', `Content-Disposition: form-data; name="${name}"`, ...headers, '', text, ''].join('\r\n');
const multipart = (...parts: string[]) => `${parts.join('')}--b--\r\n`;

const long = 'x'.repeat(MEBIBYTE);
const many = (count: number) => Array.from({ length: count }, (_, i) => i);
const name = 'n'.repeat(10 * MEBIBYTE);
const TEXT = 65_536;

describe('refused with its limit and what was sent', () => {
  it.each<[string, string, () => string, Partial<Record<'field' | 'limit' | 'actual', unknown>>]>([
    ['depth', JSON_TYPE, () => `{"a":${'['.repeat(MEBIBYTE)}`, { limit: 32, actual: 33 }],
    ['objects in objects', JSON_TYPE, () => '{"a":'.repeat(MEBIBYTE), { limit: 32, actual: 33 }],
    ['elements', JSON_TYPE, () => `{"texts":[${'0,'.repeat(MEBIBYTE)}0]}`, { limit: 10_000 }],
    [
      'members',
      JSON_TYPE,
      () => JSON.stringify(Object.fromEntries(many(20_000).map((i) => [i, 1]))),
      { limit: 10_000 },
    ],
    ['white space', JSON_TYPE, () => `{${' '.repeat(2 * MEBIBYTE)}}`, { limit: MEBIBYTE }],
    ['digits', JSON_TYPE, () => `{"seed":${'1'.repeat(2 * MEBIBYTE)}}`, { limit: MEBIBYTE }],
    [
      'texts together',
      JSON_TYPE,
      () => JSON.stringify({ texts: Array(64).fill('x'.repeat(40_000)) }),
      { limit: MEBIBYTE },
    ],
    [
      'a text',
      JSON_TYPE,
      () => JSON.stringify({ question: long }),
      { field: 'question', limit: TEXT, actual: MEBIBYTE },
    ],
    [
      'a text in a list',
      JSON_TYPE,
      () => JSON.stringify({ history: [{ question: 'a', answer: 'b' }, { answer: long }] }),
      { field: 'history.1.answer', limit: TEXT, actual: MEBIBYTE },
    ],
    [
      'a text beside an image',
      JSON_TYPE,
      () => JSON.stringify({ image: { data: long }, question: long }),
      { field: 'question', limit: TEXT },
    ],
    [
      'a name',
      JSON_TYPE,
      () => JSON.stringify({ [name]: 1 }),
      { limit: 1024, actual: 10 * MEBIBYTE },
    ],
    [
      'a name behind a text',
      JSON_TYPE,
      () => `{"question": "a", "${name}" \n: 1}`,
      { limit: 1024, actual: 10 * MEBIBYTE },
    ],
    [
      'a name of medium length',
      JSON_TYPE,
      () => JSON.stringify({ ['n'.repeat(5000)]: 1 }),
      { limit: 1024, actual: 5000 },
    ],
    [
      'a name where an image may be',
      JSON_TYPE,
      () => `{"image": "a", "${name}": 1}`,
      { limit: 1024, actual: 10 * MEBIBYTE },
    ],
    [
      'a text by its escapes',
      JSON_TYPE,
      () => `{"question": "${'\\u0061'.repeat(20_000)}"}`,
      { field: 'question', limit: TEXT, actual: 120_000 },
    ],
    ['a text that is no member', JSON_TYPE, () => JSON.stringify(long), { limit: TEXT }],
    [
      'fields of a form',
      FORM,
      () =>
        many(300_000)
          .map((i) => `f${i}=1`)
          .join('&'),
      { limit: 1000, actual: 1001 },
    ],
    ['empty fields of a form', FORM, () => `a=1${'&'.repeat(MEBIBYTE)}`, { limit: 1000 }],
    ['a name of a form', FORM, () => `${name}=1`, { limit: 3072, actual: 10 * MEBIBYTE }],
    [
      'a text of a form',
      FORM,
      () => `question=${'%41'.repeat(MEBIBYTE)}`,
      { field: 'question', limit: TEXT, actual: 3 * MEBIBYTE },
    ],
    [
      'texts of a form together',
      FORM,
      () =>
        many(64)
          .map((i) => `texts[${i}]=${'x'.repeat(40_000)}`)
          .join('&'),
      { limit: MEBIBYTE },
    ],
    [
      'JSON in a form',
      FORM,
      () => `history=${'['.repeat(60_000)}`,
      { field: 'history', limit: 32, actual: 33 },
    ],
    [
      'parts',
      MULTIPART,
      () => multipart(...many(20_000).map((i) => part(`f${i}`, '1'))),
      { limit: 1000, actual: 1001 },
    ],
    [
      'headers of a part',
      MULTIPART,
      () => multipart(part('question', 'x', ...Array(1000).fill('a: b'))),
      { limit: 32, actual: 33 },
    ],
    ['bytes of headers', MULTIPART, () => multipart(part('q', 'x', `a: ${long}`)), { limit: 8192 }],
    ['a name of a part', MULTIPART, () => multipart(part(name, 'x')), { limit: 8192 }],
    [
      'a text of a part',
      MULTIPART,
      () => multipart(part('question', long)),
      { field: 'question', limit: TEXT, actual: MEBIBYTE },
    ],
    [
      'JSON of a part',
      MULTIPART,
      () => multipart(part('history', `[${'0,'.repeat(MEBIBYTE)}0]`, `Content-Type: ${JSON_TYPE}`)),
      { field: 'history', limit: 10_000 },
    ],
    [
      'values of JSON of all parts',
      MULTIPART,
      () => {
        const json = `[${'0,'.repeat(6000)}0]`;
        const type = `Content-Type: ${JSON_TYPE}`;
        return multipart(part('history', json, type), part('unknown', json, type));
      },
      { limit: 10_000 },
    ],
    [
      'bytes of JSON of all parts',
      MULTIPART,
      () => {
        const type = `Content-Type: ${JSON_TYPE}`;
        return multipart(...many(3).map(() => part('history', `[${' '.repeat(400_000)}]`, type)));
      },
      { limit: MEBIBYTE },
    ],
    [
      'names of what is no JSON, in all fields of a form',
      FORM,
      () =>
        many(3)
          .map(() => `history[]={"a"${':'.repeat(5000)}`)
          .join('&'),
      { limit: 10_000 },
    ],
    [
      'values of JSON of all fields of a form',
      FORM,
      () =>
        many(3)
          .map(() => `history[]=[${'1,'.repeat(5000)}1]`)
          .join('&'),
      { limit: 10_000 },
    ],
  ])('%s', async (_what, type, body, extras) => {
    const refused = await read(type, body()).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(ApiError);
    const problem = (refused as ApiError).toProblem();
    expect(problem).toMatchObject({ status: 400, ...extras });
    expect(problem.actual ?? Number.POSITIVE_INFINITY).toBeGreaterThan(problem.limit ?? 0);
    expect(JSON.stringify(problem).length).toBeLessThan(600);
  });
});

describe('a name of megabytes is refused in a short reply on a route of another service', () => {
  const text = [{ role: 'user', content: [{ type: 'text', text: 'what?', [name]: 1 }] }];
  it.each<[string, string, () => object]>([
    ['of a member', '/v1/chat/completions', () => ({ messages: [], [name]: 1 })],
    ['within a message', '/v1/chat/completions', () => ({ messages: text })],
    ['of a member of a response', '/v1/responses', () => ({ input: 'what?', [name]: 1 })],
  ])('%s', async (_where, path, members) => {
    const { post, gpu } = startEdge({ env: { MAX_BODY_BYTES: String(30 * MEBIBYTE) } });
    const response = await post(path, { model: generative.name, ...members() });
    const reply = await response.text();
    expect([response.status, reply.length < 600]).toEqual([400, true]);
    expect(JSON.parse(reply)).toMatchObject({
      error: {
        type: 'invalid_request_error',
        message: expect.stringMatching(/has a name, nnn.*, of more than 1024 bytes/),
      },
    });
    expect(gpu.received).toHaveLength(0);
  });
});

describe('an image of megabytes is read', () => {
  const image = newImage(3 * MEBIBYTE);
  const data = base64(image);
  it.each<[string, string, () => string]>([
    ['in JSON', JSON_TYPE, () => JSON.stringify({ image: { data } })],
    ['in JSON as a data: URL', JSON_TYPE, () => JSON.stringify({ image: urlOf(data) })],
    ['beside texts of any language', JSON_TYPE, () => `{"question":"犬🐕?","image":"${data}"}`],
    [
      'with its slashes escaped',
      JSON_TYPE,
      () => JSON.stringify({ image: { data } }).replaceAll('/', '\\/'),
    ],
    [
      'percent-encoded',
      JSON_TYPE,
      () => JSON.stringify({ image: { url: urlOf(encodeURIComponent(data)) } }),
    ],
    [
      'in JSON of another charset',
      `${JSON_TYPE}; charset=iso-8859-1`,
      () => JSON.stringify({ image: { data } }),
    ],
    ['in a form', FORM, () => `question=a&image=${encodeURIComponent(data)}`],
    ['in a form, not encoded', FORM, () => `image[data]=${data}`],
    ['in a part that is text', MULTIPART, () => multipart(part('image', data))],
    [
      'in a part that is JSON',
      MULTIPART,
      () => multipart(part('image', JSON.stringify({ data }), `Content-Type: ${JSON_TYPE}`)),
    ],
  ])('%s', async (_how, type, body) => {
    const { source } = await read(type, body());
    const bytes = source?.kind === 'bytes' ? source.bytes : new Uint8Array();
    expect(bytes.length).toBe(image.length);
    expect(Buffer.compare(bytes, image)).toBe(0);
  });

  it('not where it is no JSON', async () => {
    for (const body of [
      `{"image": "${data}\n"}`,
      `{"image": "${data}\\q"}`,
      `{"image": "${data}`,
      `{"image": "${data}"`,
    ]) {
      await expect(read(JSON_TYPE, body)).rejects.toMatchObject({ slug: 'invalid-json' });
    }
    const half = `{"image": "${data}\\ud800"}`;
    await expect(read(JSON_TYPE, half)).rejects.toMatchObject({ extras: { field: 'image' } });
    const twice = `{"image": "${data}", "image": "${data}"}`;
    await expect(read(JSON_TYPE, twice)).rejects.toMatchObject({
      message: 'image is given twice.',
    });
  });
});

const urlOf = (data: string) => `data:image/png;base64,${data}`;
