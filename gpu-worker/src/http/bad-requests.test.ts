/** Replies to requests that cannot be served, and to bytes that are no request. */
import { decodeEmbeddings, encodeEmbeddings } from '@blip2/shared/embedding-codec';
import type { Problem } from '@blip2/shared/errors';
import { encodeFrame, encodeJsonFrame } from '@blip2/shared/frames';
import { GenerationConfig } from '@blip2/shared/wire';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bytes, framesOf, TestWorker } from './testing/test-worker.ts';

const MAX_SLOTS = 3;
let test: TestWorker;
beforeAll(async () => {
  test = await TestWorker.start({ maxSlots: MAX_SLOTS });
});
afterAll(() => test?.worker.stop());

const bytes = (...values: number[]): Bytes => Uint8Array.from(values);
const text = (value: string): Bytes => new TextEncoder().encode(value);

/** A frame of embeddings that are right but for one value. */
async function embeddingsWith(value: number): Promise<Bytes> {
  const frames = await framesOf(await test.send(test.embed(), test.image(0)));
  const payload = frames.find(({ type }) => type === 'embeddings')!.payload;
  const view = new DataView(payload.slice().buffer);
  const shape = { numQueries: view.getUint16(4, true), hidden: view.getUint16(6, true) };
  const { values } = decodeEmbeddings(payload, shape);
  values[7] = value;
  return encodeFrame('embeddings', encodeEmbeddings({ ...shape, values }, 'float32'));
}

describe('a request that cannot be served', () => {
  it.each<[string, () => Promise<Response>, number, string]>([
    [
      'for another model',
      () => test.send(test.generate({ revision: 'x' }), test.image(0)),
      409,
      'model-mismatch',
    ],
    [
      'for embeddings that are made in another way',
      () => test.send(test.generate({ preprocessing: '3-0-int8' }), test.image(0)),
      409,
      'model-mismatch',
    ],
    [
      'with a prompt over the context',
      () => test.send(test.generate({ input_ids: new Array(9999).fill(2) }), test.image(0)),
      400,
      'prompt-too-long',
    ],
    [
      'with an id out of the vocabulary',
      () => test.send(test.generate({ input_ids: [2, 1e9] }), test.image(0)),
      400,
      'invalid-request',
    ],
    [
      'with noise as an image',
      () => test.send(test.generate(), encodeFrame('image', new Uint8Array(99).fill(3))),
      400,
      'invalid-image',
    ],
    [
      'with an empty image',
      () => test.send(test.generate(), encodeFrame('image', bytes())),
      400,
      'no-image',
    ],
    [
      'with damaged embeddings',
      () => test.send(test.generate(), encodeFrame('embeddings', new Uint8Array(50))),
      400,
      'invalid-request',
    ],
    [
      'to embed what is embedded already',
      () => test.send(test.embed(), encodeFrame('embeddings', new Uint8Array(50))),
      400,
      'no-image',
    ],
    [
      'with an instruction for a model that reads none',
      () => test.send(test.generate({ instruction_ids: [2, 3] }), test.image(0)),
      400,
      'invalid-request',
    ],
    ['without a source', () => test.send(test.generate(), bytes()), 400, 'invalid-request'],
    [
      'for more texts than there are slots',
      () => {
        const generation = GenerationConfig.parse({ max_tokens: 12, num_beams: MAX_SLOTS + 1 });
        return test.send(test.generate({ generation }), test.image(0));
      },
      400,
      'invalid-request',
    ],
    ['at another path', () => fetch(`${test.worker.url}/v2`), 404, 'not-found'],
  ])('is refused: %s', async (_name, make, status, slug) => {
    const response = await make();
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ type: `/problems/${slug}` });
    expect(response.headers.get('x-request-id')).toMatch(/^[\w-]+$/);
  });

  it.each([
    ['GET', '/v1/run', 'POST'],
    ['POST', '/healthz', 'GET'],
    ['DELETE', '/v1/model', 'GET'],
  ])('is refused with what is possible: %s %s', async (method, path, allow) => {
    const headers = { 'x-request-id': 'of-the-edge' };
    const response = await fetch(`${test.worker.url}${path}`, { method, headers });
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')?.split(', ')).toContain(allow);
    expect(response.headers.get('x-request-id')).toBe('of-the-edge');
    expect(await response.json()).toMatchObject({ type: '/problems/method-not-allowed' });
  });

  it('is refused before all of its image has come', async () => {
    const upload = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(encodeJsonFrame('request', test.generate({ revision: 'x' })));
        controller.enqueue(test.image(0).subarray(0, 50));
        // The rest never comes.
      },
    });
    const response = await test.post(upload, { duplex: 'half' });
    expect(response.status).toBe(409);
  });

  it('is refused with a problem that is not lost while the rest of a large image comes', async () => {
    const head = encodeJsonFrame('request', test.generate({ revision: 'x' }));
    const large = encodeFrame('image', new Uint8Array(19 * 2 ** 20));
    const refused = Promise.withResolvers<void>();
    const parts = [head, large.subarray(0, large.length / 2), large.subarray(large.length / 2)];
    const upload = new ReadableStream<Uint8Array>({
      async pull(controller) {
        if (parts.length === 1) await refused.promise;
        const part = parts.shift();
        if (part === undefined) controller.close();
        else controller.enqueue(part);
      },
    });
    const response = await test.post(upload, { duplex: 'half' });
    refused.resolve();
    expect(await response.json()).toMatchObject({ type: '/problems/model-mismatch' });
  });
});

describe('bytes that are no request', () => {
  const request = () => encodeJsonFrame('request', test.generate());
  it.each<[string, () => Bytes[] | Promise<Bytes[]>, RegExp]>([
    ['text', () => [text('hello, hello')], /not a list of frames/],
    ['nothing', () => [], /body is empty|first frame must be a request/],
    ['half a header', () => [request().subarray(0, 5)], /not a list of frames/],
    ['half a frame', () => [request().subarray(0, 20)], /not a list of frames/],
    ['an empty request', () => [encodeFrame('request', bytes())], /not JSON in UTF-8/],
    ['JSON that is cut off', () => [encodeFrame('request', text('{"kind": "gen'))], /not JSON/],
    ['JSON that is not UTF-8', () => [encodeFrame('request', bytes(0x22, 0xff, 0x22))], /UTF-8/],
    ['JSON of no object', () => [encodeFrame('request', text('7'))], /./],
    ['an unknown kind', () => [encodeJsonFrame('request', { kind: 'dance' })], /^kind: /],
    ['an image first', () => [test.image(0), request()], /first frame must be a request/],
    [
      'tokens as a source',
      () => [request(), encodeFrame('tokens', bytes(0, 0, 0, 0))],
      /second frame must be/,
    ],
    ['empty embeddings', () => [request(), encodeFrame('embeddings', bytes())], /truncated/],
    ['a third frame', () => [request(), test.image(0), test.image(1)], /more frames/],
    ['embeddings with NaN', async () => [request(), await embeddingsWith(Number.NaN)], /finite/],
    ['embeddings with Infinity', async () => [request(), await embeddingsWith(1 / 0)], /finite/],
  ])('are a 400: %s', async (_name, parts, detail) => {
    const response = await test.post(new Blob(await parts()));
    expect(response.status).toBe(400);
    const problem = (await response.json()) as Problem;
    expect(problem.type).toBe('/problems/invalid-request');
    expect(problem.detail).toMatch(detail);
  });

  it.each<[string, Record<string, unknown>]>([
    ['deadline_ms', { deadline_ms: 2 ** 31 }],
    // Of 32 bits, nothing would be left of it.
    ['deadline_ms', { deadline_ms: 2 ** 32 }],
    ['deadline_ms', { deadline_ms: 0 }],
    ['deadline_ms', { deadline_ms: '9000' }],
    ['input_ids', { input_ids: 'two' }],
    ['input_ids.1', { input_ids: [2, 1.5] }],
    ['input_ids.0', { input_ids: [null] }],
    ['generation.temperature', { generation: { max_tokens: 1, temperature: 'hot' } }],
    ['priority', { priority: 'urgent' }],
  ])('are a 400 that names %s of %o', async (field, change) => {
    const response = await test.send({ ...test.generate(), ...change }, test.image(0));
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ type: '/problems/invalid-request', field });
  });
});
