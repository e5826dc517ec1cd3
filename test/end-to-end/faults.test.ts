/** Replies to bad input, and while the GPU worker is gone. */
import { once } from 'node:events';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { testImages } from '../support/test-images.ts';

type Body = NonNullable<RequestInit['body']>;

let stack: Stack;
let imageBytes: Uint8Array<ArrayBuffer>;
let sha256: string;

beforeAll(async () => {
  const [first] = await testImages(1);
  ({ bytes: imageBytes, sha256 } = first!);
  stack = await startStack();
});
afterAll(() => stack?.stop());

async function post(path: string, body: Body | null, type?: string) {
  const response = await fetch(`${stack.url}${path}`, {
    method: 'POST',
    ...(type ? { headers: { 'content-type': type } } : {}),
    ...(body === null ? {} : { body }),
  });
  const text = await response.text();
  expect(text).not.toMatch(/\bat .*\.ts:\d+/);
  return { status: response.status, headers: response.headers, json: JSON.parse(text) };
}
const postJson = (path: string, body: unknown) =>
  post(path, JSON.stringify(body), 'application/json');

describe('bad input', () => {
  it.each<[string, number, string, () => Promise<Body>, string]>([
    ['an empty body', 400, 'no-image', async () => '', 'image/png'],
    ['text as an image', 415, 'unsupported-media-type', async () => 'hello', 'text/plain'],
    [
      'an SVG',
      415,
      'unsupported-media-type',
      async () => '<svg xmlns="http://www.w3.org/2000/svg"/>',
      'image/svg+xml',
    ],
    ['noise', 400, 'invalid-image', async () => new Uint8Array(2000).fill(7), 'image/png'],
    [
      'a truncated image',
      400,
      'invalid-image',
      async () => imageBytes.slice(0, imageBytes.length / 2),
      'image/webp',
    ],
  ])('%s is refused with %i %s', async (_name, status, slug, body, type) => {
    const reply = await post('/v1/captions', await body(), type);
    expect(reply.json).toMatchObject({ status, type: `/problems/${slug}` });
    expect(reply.status).toBe(status);
    expect(reply.headers.get('content-type')).toContain('application/problem+json');
  });

  it('a truncated image is refused before a stream begins', async () => {
    const broken = imageBytes.slice(0, imageBytes.length / 2);
    const reply = await post('/v1/captions?stream=true', broken, 'image/webp');
    expect(reply.status).toBe(400);
    expect(reply.json).toMatchObject({ type: '/problems/invalid-image' });
  });

  it('a decompression bomb is refused by its header', async () => {
    const bomb = await sharp({
      create: { width: 15_000, height: 15_000, channels: 3, background: 'white' },
      limitInputPixels: false,
    })
      .png({ compressionLevel: 9 })
      .toBuffer();
    const reply = await post('/v1/captions', new Uint8Array(bomb), 'image/png');
    expect(reply.json).toMatchObject({
      status: 400,
      type: '/problems/image-too-large',
      actual: 225_000_000,
    });
  });

  it.each<[string, number, unknown, string | undefined]>([
    ['no image', 400, { question: 'what?' }, 'image'],
    ['two images', 400, { image: { data: 'AAAA', sha256: '0'.repeat(64) } }, undefined],
    ['bad base64', 400, { image: { data: '!!!' } }, undefined],
    ['an unknown field', 400, { image: { sha256: '0'.repeat(64) }, color: 'red' }, 'color'],
    ['a wrong type', 400, { image: { sha256: '0'.repeat(64) }, max_tokens: 'many' }, 'max_tokens'],
    ['an unknown image', 404, { image: { sha256: '0'.repeat(64) } }, undefined],
    ['a private URL', 400, { image: { url: 'http://127.0.0.1/a.png' } }, undefined],
  ])('%s gets %i', async (_name, status, body, field) => {
    const path = JSON.stringify(body).includes('question') ? '/v1/answers' : '/v1/captions';
    const reply = await postJson(path, body);
    expect(reply.status).toBe(status);
    if (field) expect(reply.json.field ?? reply.json.detail).toContain(field);
  });

  it('a question that is too long gets the count and the limit', async () => {
    const question = 'what is to the left of the dog? '.repeat(100);
    const image = { data: Buffer.from(imageBytes).toString('base64') };
    const reply = await postJson('/v1/answers', { image, question });
    expect(reply.status).toBe(400);
    expect(reply.json).toMatchObject({ type: '/problems/prompt-too-long' });
    expect(reply.json.actual).toBeGreaterThan(reply.json.limit);
  });

  it('an empty question is refused', async () => {
    const image = { data: Buffer.from(imageBytes).toString('base64') };
    expect((await postJson('/v1/answers', { image, question: '  ' })).status).toBe(400);
  });

  it('the wrong method gets 405 with Allow', async () => {
    const response = await fetch(`${stack.url}/v1/captions`);
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toContain('POST');
  });
});

describe('when the GPU worker is gone', () => {
  // What was found holds for a second.
  const healthStatus = async () => (await fetch(`${stack.url}/healthz`)).status;

  it('cached embeddings are still served, and all else is refused with 503 and Retry-After', async () => {
    expect((await post('/v1/embeddings', imageBytes, 'image/webp')).status).toBe(200);
    expect((await fetch(`${stack.url}/healthz`)).status).toBe(200);
    const exited = once(stack.worker, 'exit');
    stack.worker.kill('SIGTERM');
    expect((await exited)[0]).toBe(0);
    const cached = await fetch(`${stack.url}/v1/embeddings/${sha256}`);
    expect(cached.status).toBe(200);
    const refused = await postJson('/v1/captions', { image: { sha256 } });
    expect(refused.status).toBe(503);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    const streamed = await postJson('/v1/captions', { image: { sha256 }, stream: true });
    expect(streamed.status).toBe(503);
    expect(Number(streamed.headers.get('retry-after'))).toBeGreaterThan(0);
    await expect.poll(healthStatus, { timeout: 10_000 }).toBe(503);
  });

  it('a new one serves requests again', async () => {
    await stack.restartWorker();
    expect((await postJson('/v1/captions', { image: { sha256 } })).status).toBe(200);
    await expect.poll(healthStatus, { timeout: 10_000 }).toBe(200);
  });
});
