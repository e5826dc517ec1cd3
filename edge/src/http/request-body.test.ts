import type { ApiError } from '@blip2/shared/errors';
import { AnswerRequest } from '@blip2/shared/schemas/answers';
import { CaptionRequest } from '@blip2/shared/schemas/captions';
import { MatchRequest } from '@blip2/shared/schemas/match';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as z from 'zod/mini';
import { base64, newImage } from '../testing/edge.ts';
import { readImageRequest, readRequest } from './request-body.ts';

const LIMITS = {
  maxImageBytes: 1000,
  maxBodyBytes: 2000,
  maxHeldBytes: 48 * 2 ** 20,
  waitUntil: () => {},
  client: 'test',
  deadlineMs: 5000,
};
const PNG = { 'content-type': 'image/png' };
const JSON_TYPE = { 'content-type': 'application/json' };

type Init = { headers?: Record<string, string>; body?: BodyInit | null };

const request = (init: Init, query = '') =>
  new Request(`http://edge.test/v1/captions${query}`, { method: 'POST', ...init });
const anyFields = {
  schema: z.strictObject({
    ...CaptionRequest.shape,
    ...AnswerRequest.shape,
    ...MatchRequest.shape,
  }),
  check: (fields: Record<string, unknown>) => fields,
};
const read = (init: Init, query = '') => readRequest(request(init, query), LIMITS, anyFields);
const json = (value: unknown) => ({ headers: JSON_TYPE, body: JSON.stringify(value) });

function form(entries: Record<string, string | File>): Init {
  const body = new FormData();
  for (const [name, value] of Object.entries(entries)) body.set(name, value);
  return { body };
}

const image = newImage();
const file = () => new File([image], 'a.png', { type: 'image/png' });

it('a body that its client breaks off is a bad request, not a fault of the service', async () => {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(image.slice(0, 4));
      controller.error(new Error('Network connection lost.'));
    },
  });
  await expect(read({ headers: PNG, body })).rejects.toMatchObject({
    slug: 'invalid-request',
    message: 'The connection ended before the whole body had come: send it again.',
  });
});

describe('an image', () => {
  it.each<[string, Init]>([
    ['a raw body', { headers: PNG, body: image }],
    [
      'a raw body whose type has parameters',
      { headers: { 'content-type': 'Image/PNG; q=1' }, body: image },
    ],
    ...[
      '',
      'application/octet-stream',
      'binary/octet-stream',
      'image/pjpeg',
      'image/tiff',
      'text/plain;charset=UTF-8',
      'application/x-www-form-urlencoded',
      'application/json',
      'multipart/form-data; boundary=x',
    ].map((type): [string, Init] => [
      `a raw body that is called "${type}"`,
      { headers: { 'content-type': type }, body: image },
    ]),
    ['a file of a form', form({ image: file() })],
    ...[undefined, 'application/octet-stream', 'text/plain', 'application/pdf'].map(
      (type): [string, Init] => [
        `a file without extension of a form that is called "${type}"`,
        form({ image: new File([image], 'blob', type === undefined ? {} : { type }) }),
      ],
    ),
    ['base64 in JSON', json({ image: { data: base64(image) } })],
    ['a data: URL in JSON', json({ image: { data: `data:image/png;base64,${base64(image)}` } })],
  ])('is read from %s', async (_form, init) => {
    expect((await read(init)).source).toEqual({ kind: 'bytes', bytes: image });
  });

  it.each([{ url: 'https://example.com/a.png' }, { sha256: 'a'.repeat(64) }])(
    'may be named by %o in JSON',
    async (reference) => {
      const { source } = await read(json({ image: reference }));
      expect(source).toMatchObject(reference);
    },
  );

  it('may be absent from JSON, but not for a route that needs one', async () => {
    expect((await read(json({}))).source).toBeUndefined();
    await expect(readImageRequest(request(json({})), LIMITS, anyFields)).rejects.toMatchObject({
      slug: 'no-image',
    });
  });

  it('is read only after the other fields are checked', async () => {
    const refusal = new Error('no such field');
    const check = () => {
      throw refusal;
    };
    const broken = json({ image: { data: '!!!' }, color: 'red' });
    await expect(readRequest(request(broken), LIMITS, { ...anyFields, check })).rejects.toBe(
      refusal,
    );
  });
});

describe('fields', () => {
  it('of a raw body are in the query string, with their types', async () => {
    const query = '?max_tokens=9&temperature=-0.5&stream=true&prompt=7&question=true&x=1e3';
    expect((await read({ headers: PNG, body: image }, query)).fields).toEqual({
      max_tokens: 9,
      temperature: -0.5,
      stream: true,
      prompt: '7',
      question: 'true',
      x: '1e3',
    });
  });

  it('of a body win over the query string', async () => {
    const fields = { seed: 3, top_k: 4 };
    expect((await read(json(fields), '?seed=1&n=2')).fields).toEqual({ seed: 3, top_k: 4, n: 2 });
    const { fields: ofForm } = await read(form({ image: file(), seed: '3' }), '?seed=1&n=2');
    expect(ofForm).toEqual({ seed: 3, n: 2 });
  });

  it('of a form may hold JSON where a list is expected', async () => {
    const history = [{ question: 'a dog?', answer: 'yes' }];
    const init = form({ image: file(), history: JSON.stringify(history), texts: '["a"]' });
    expect((await read(init)).fields).toEqual({ history, texts: ['a'] });
  });

  it('that are given twice in a query string are refused', async () => {
    const init = { headers: PNG, body: image };
    await expect(read(init, '?seed=1&seed=2')).rejects.toMatchObject({ slug: 'invalid-request' });
  });

  it('have any name, also one that every object has', async () => {
    const { fields } = await read({ headers: PNG, body: image }, '?__proto__=1&toString=2');
    expect(Object.entries(fields)).toEqual([
      ['__proto__', '1'],
      ['toString', '2'],
    ]);
  });

  it('of any names and numbers are the same from a query string and from JSON', async () => {
    const values = {
      max_tokens: fc.integer({ min: -1e6, max: 1e6 }),
      temperature: fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0),
      stream: fc.boolean(),
      early_stopping: fc.oneof(fc.boolean(), fc.constant('never')),
      prompt: fc.string({ minLength: 1, unit: 'grapheme' }),
    };
    await fc.assert(
      fc.asyncProperty(fc.record(values, { requiredKeys: [] }), async (fields) => {
        const query = new URLSearchParams(
          Object.entries(fields).map(([name, value]) => [name, String(value)]),
        );
        const raw = await read({ headers: PNG, body: image }, `?${query}`);
        expect({ ...raw.fields }).toEqual({ ...(await read(json(fields))).fields });
      }),
    );
  });
});

describe('a body is refused', () => {
  const tooLarge = newImage(1001);
  it.each<[string, Init, string]>([
    ['that is absent', {}, 'no-image'],
    ['that is empty', { headers: { ...PNG, 'content-length': '0' }, body: '' }, 'no-image'],
    [
      'of another media type',
      { headers: { 'content-type': 'text/plain' }, body: 'a' },
      'unsupported-media-type',
    ],
    [
      'in JSON under another media type, without an image',
      { headers: { 'content-type': 'text/plain' }, body: '{"image": {}}' },
      'no-image',
    ],
    ['with too large an image', { headers: PNG, body: tooLarge }, 'body-too-large'],
    ['with too much JSON', json({ image: { data: base64(newImage(2000)) } }), 'body-too-large'],
    ['that is no JSON', { headers: JSON_TYPE, body: '{' }, 'invalid-json'],
    [
      'that is no UTF-8',
      { headers: JSON_TYPE, body: Uint8Array.of(0x22, 0xff, 0x22) },
      'invalid-json',
    ],
    ['that is a JSON list', json([1]), 'invalid-request'],
    ['that is JSON null', json(null), 'invalid-request'],
    ['whose image is a number', json({ image: 7 }), 'invalid-request'],
    ['whose image is text that names none', json({ image: 'a dog!' }), 'invalid-base64'],
    ['whose image is named twice', json({ image: { data: '', url: '' } }), 'several-images'],
    ['with base64 that is none', json({ image: { data: '!' } }), 'invalid-base64'],
    [
      'of a form without its boundary',
      { headers: { 'content-type': 'multipart/form-data' }, body: 'x' },
      'invalid-multipart',
    ],
    ['of a form whose image is text that names none', form({ image: 'a dog!' }), 'invalid-base64'],
    ['of a form with another file', form({ image: file(), mask: file() }), 'invalid-request'],
  ])('%s', async (_what, init, slug) => {
    await expect(read(init)).rejects.toMatchObject({ slug });
  });

  it.each([
    ['application/xml', '<question>what?</question>'],
    ['text/javascript', '{"question": "what?"}'],
    ['application/json, text/plain', '{"question": "what?"}'],
    ['multipart/mixed; boundary=x', '--x\r\nContent-Disposition: form-data; name="question"\r\n'],
    ['text/plain', 'question=what?'],
  ])('for what it is, not for the fields that are within: %s', async (type, body) => {
    const check = (fields: unknown) => {
      throw new Error(`fields: ${JSON.stringify(fields)}`);
    };
    const init = { headers: { 'content-type': type }, body };
    const refused = readRequest(request(init), LIMITS, { ...anyFields, check });
    await expect(refused).rejects.toMatchObject({ slug: 'unsupported-media-type' });
  });

  it.each([
    ['', 'invalid-image'],
    ['application/octet-stream', 'invalid-image'],
  ])('that is no image and is called "%s", before its fields', async (type, slug) => {
    const check = () => {
      throw new Error('fields');
    };
    const init = { headers: { 'content-type': type }, body: 'question=what?' };
    const refused = readRequest(request(init), LIMITS, { ...anyFields, check });
    await expect(refused).rejects.toMatchObject({ slug });
  });

  it('that is an image beside another one in the query string', async () => {
    for (const headers of [PNG, { 'content-type': '' }]) {
      await expect(
        read({ headers, body: image }, '?image=https://a.example/b.png'),
      ).rejects.toMatchObject({ slug: 'several-images' });
    }
  });

  it('with a problem, never with an internal error, whatever its bytes', async () => {
    const types = fc.constantFrom(
      'application/json',
      'application/json; charset=utf-16',
      'multipart/form-data; boundary=x',
      'application/x-www-form-urlencoded',
      'application/json',
      'multipart/form-data; boundary=x',
      'text/plain',
      'image/png',
    );
    const bodies = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 100 }),
      fc.json().map((text) => new TextEncoder().encode(text)),
      fc.string().map((text) => {
        const part = `--x\r\ncontent-disposition: form-data; name="image"\r\n\r\n${text}\r\n--x--`;
        return new TextEncoder().encode(part);
      }),
    );
    await fc.assert(
      fc.asyncProperty(types, bodies, async (type, bytes) => {
        const init = { headers: { 'content-type': type }, body: new Uint8Array(bytes) };
        const result = await read(init).catch((error: unknown) => error);
        if (result instanceof Error) {
          expect(result).toMatchObject({ name: 'ApiError' });
          expect([400, 415]).toContain((result as ApiError).status);
        } else expect(result).toHaveProperty('fields');
      }),
    );
  });
});
