/** The worker over real HTTP with the real engine on the embedded checkpoint. */
import { decodeEmbeddings } from '@blip2/shared/embedding-codec';
import {
  decodeJson,
  decodeTokens,
  encodeFrame,
  encodeJsonFrame,
  type Frame,
  readFrames,
} from '@blip2/shared/frames';
import {
  GenerationConfig,
  type GpuDone,
  type GpuRequest,
  type WorkerModel,
} from '@blip2/shared/wire';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readConfig } from '../config.ts';
import { type GpuWorker, startWorker } from '../start-worker.ts';

const MAX_SLOTS = 3;
let worker: GpuWorker;
let revision: string;
let images: Uint8Array<ArrayBuffer>[];

beforeAll(async () => {
  worker = await startWorker(
    readConfig({
      GPU_WORKER_PORT: '0',
      BLIP2_MAX_SLOTS: String(MAX_SLOTS),
      BLIP2_QUEUE_LIMIT: '2',
    }),
  );
  const model = (await (await fetch(`${worker.url}/v1/model`)).json()) as WorkerModel;
  revision = model.revision;
  images = await Promise.all(
    ['#cc2020', '#2040cc', '#20a040', '#e0c020'].map(async (background) => {
      const canvas = sharp({ create: { width: 120, height: 90, channels: 3, background } });
      const dot = {
        create: { width: 40, height: 40, channels: 3 as const, background: '#ffffff' },
      };
      const image = canvas.composite([{ input: dot, left: 20, top: 30 }]).png();
      return new Uint8Array(await image.toBuffer());
    }),
  );
});
afterAll(() => worker?.stop());

/** Never ends by itself before `max_tokens`: a strong penalty keeps a small model from repeating its end. */
const config = GenerationConfig.parse({ max_tokens: 12 });

type Generate = Extract<GpuRequest, { kind: 'generate' }>;

const generate = (change: Partial<Generate> = {}): Generate => ({
  kind: 'generate',
  request_id: 'test',
  revision,
  deadline_ms: 20_000,
  input_ids: [2],
  generation: config,
  ...change,
});

function send(
  request: unknown,
  source: Uint8Array<ArrayBuffer>,
  signal?: AbortSignal,
): Promise<Response> {
  return fetch(`${worker.url}/v1/run`, {
    method: 'POST',
    body: new Blob([encodeJsonFrame('request', request), source]),
    ...(signal ? { signal } : {}),
  });
}

const framesOf = (response: Response): Promise<Frame[]> =>
  Array.fromAsync(readFrames(response.body as ReadableStream<Uint8Array>));

async function ask(request: Generate, source: Uint8Array<ArrayBuffer>) {
  const response = await send(request, source);
  expect(response.status).toBe(200);
  const frames = await framesOf(response);
  return {
    types: frames.map(({ type }) => type),
    tokens: frames
      .filter(({ type }) => type === 'tokens')
      .flatMap(({ payload }) => decodeTokens(payload).tokens.map(({ id }) => id)),
    embeddings: frames.find(({ type }) => type === 'embeddings')?.payload,
    last: decodeJson(frames.at(-1)!.payload) as GpuDone,
  };
}

const image = (index: number) => encodeFrame('image', images[index]!);

describe('a request', () => {
  it('with an image gives its kind, its embeddings, tokens and an end', async () => {
    const reply = await ask(generate(), image(0));
    expect(reply.types.slice(0, 2)).toEqual(['imageInfo', 'embeddings']);
    expect(reply.types.at(-1)).toBe('done');
    expect(reply.last.choices).toMatchObject([{ completion_tokens: reply.tokens.length }]);
    const timings = reply.last.timings_ms as Record<string, number>;
    for (const part of ['queue', 'decode_image', 'vision', 'qformer', 'prefill']) {
      expect(timings[part], part).toBeGreaterThanOrEqual(0);
    }
  });

  it('with the embeddings of the first gives the same tokens without image work', async () => {
    const miss = await ask(generate(), image(1));
    const hit = await ask(generate(), encodeFrame('embeddings', miss.embeddings!));
    expect(hit.tokens).toEqual(miss.tokens);
    expect(hit.types).not.toContain('embeddings');
    expect(hit.last.timings_ms).not.toHaveProperty('vision');
  });

  it('for embeddings alone gives them and no token', async () => {
    const embed = {
      kind: 'embed',
      embedding: 'query',
      request_id: 'test',
      revision,
      deadline_ms: 9000,
    };
    const frames = await framesOf(await send(embed, image(2)));
    expect(frames.map(({ type }) => type)).toEqual(['imageInfo', 'embeddings', 'done']);
    const shape = new DataView(frames[1]!.payload.slice().buffer);
    const [numQueries, hidden] = [shape.getUint16(4, true), shape.getUint16(6, true)];
    const { values } = decodeEmbeddings(frames[1]!.payload, { numQueries, hidden });
    expect(values.every(Number.isFinite)).toBe(true);
  });

  it('sampled with a seed gives the same tokens twice', async () => {
    const warm = { ...config, temperature: 1.3, top_k: 50, top_p: 0.95 };
    const draw = (seed: number) => ask(generate({ generation: { ...warm, seed } }), image(0));
    const first = await draw(11);
    expect((await draw(11)).tokens).toEqual(first.tokens);
  });
});

describe('requests together', () => {
  it('get what each gets alone, whoever shares their batch', async () => {
    const requests = [0, 1, 2, 3].map((i) => ({
      request: generate({
        input_ids: [2, ...Array.from({ length: 3 * i }, (_, j) => 300 + 7 * j)],
        generation: { ...config, max_tokens: 6 + 3 * i, repetition_penalty: 1.5 },
      }),
      source: image(i),
    }));
    const alone = [];
    for (const { request, source } of requests) alone.push((await ask(request, source)).tokens);
    const together = await Promise.all(requests.map(({ request, source }) => ask(request, source)));
    expect(together.map(({ tokens }) => tokens)).toEqual(alone);
  });

  it('beyond the places and the queue get 503 with Retry-After, and those accepted finish', async () => {
    const long = generate({ generation: { ...config, max_tokens: 100, repetition_penalty: 3 } });
    const replies = await Promise.all(Array.from({ length: 12 }, () => send(long, image(0))));
    const refused = replies.filter(({ status }) => status === 503);
    expect(refused.length).toBeGreaterThan(0);
    expect(refused[0]!.headers.get('retry-after')).toBe('1');
    for (const reply of replies.filter(({ status }) => status === 200)) {
      expect((await framesOf(reply)).at(-1)!.type).toBe('done');
    }
    expect(worker.engine.admitted).toBe(0);
  });

  it('that go away free their place', async () => {
    const leaving = new AbortController();
    const long = generate({ generation: { ...config, max_tokens: 200, repetition_penalty: 3 } });
    const response = await send(long, image(0), leaving.signal);
    const reader = response.body!.getReader();
    await reader.read();
    leaving.abort();
    await expect.poll(() => worker.engine.admitted, { timeout: 2000 }).toBe(0);
  });
});

describe('what cannot be done', () => {
  it.each<[string, () => Promise<Response>, number, string]>([
    ['another model', () => send(generate({ revision: 'x' }), image(0)), 409, 'model-mismatch'],
    [
      'a prompt over the context',
      () => send(generate({ input_ids: new Array(9999).fill(2) }), image(0)),
      400,
      'prompt-too-long',
    ],
    [
      'an id out of the vocabulary',
      () => send(generate({ input_ids: [2, 1e9] }), image(0)),
      400,
      'invalid-request',
    ],
    [
      'noise as an image',
      () => send(generate(), encodeFrame('image', new Uint8Array(99).fill(3))),
      400,
      'invalid-image',
    ],
    [
      'damaged embeddings',
      () => send(generate(), encodeFrame('embeddings', new Uint8Array(50))),
      400,
      'invalid-request',
    ],
    ['no source', () => send(generate(), new Uint8Array()), 400, 'invalid-request'],
    [
      'noise as a request',
      () => fetch(`${worker.url}/v1/run`, { method: 'POST', body: 'hello, hello' }),
      400,
      'invalid-request',
    ],
    [
      'more texts than there are slots',
      () => send(generate({ generation: { ...config, num_beams: MAX_SLOTS + 1 } }), image(0)),
      400,
      'invalid-request',
    ],
    ['another path', () => fetch(`${worker.url}/v2`), 404, 'not-found'],
  ])('%s is refused', async (_name, make, status, slug) => {
    const response = await make();
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ type: `/problems/${slug}` });
  });

  it('a request whose deadline has passed ends with a problem', async () => {
    const long = { ...config, max_tokens: 200, repetition_penalty: 3 };
    const response = await send(generate({ deadline_ms: 1, generation: long }), image(3));
    const problem =
      response.status === 200
        ? decodeJson((await framesOf(response)).at(-1)!.payload)
        : await response.json();
    expect(problem).toMatchObject({ type: '/problems/deadline-exceeded' });
    await expect.poll(() => worker.engine.admitted).toBe(0);
  });
});

describe('a worker that is told to stop', () => {
  it('finishes what runs and refuses what comes', async () => {
    const other = await startWorker(readConfig({ GPU_WORKER_PORT: '0' }));
    const long = generate({ generation: { ...config, max_tokens: 100, repetition_penalty: 3 } });
    const response = await fetch(`${other.url}/v1/run`, {
      method: 'POST',
      body: new Blob([encodeJsonFrame('request', long), image(0)]),
    });
    const frames = readFrames(response.body as ReadableStream<Uint8Array>);
    await frames.next();
    const stopped = other.stop();
    const rest = await Array.fromAsync(frames);
    expect(rest.at(-1)!.type).toBe('done');
    await stopped;
    await expect(fetch(`${other.url}/healthz`)).rejects.toThrow();
  });
});
