/** Many requests for one image; cached entries that are damaged; caches and a GPU worker that fail. */
import { embeddingKey, imagePathOf } from '@blip2/shared/cache-key';
import { encodeEmbeddings } from '@blip2/shared/embedding-codec';
import { ApiError } from '@blip2/shared/errors';
import { imageIdOf } from '@blip2/shared/image-id';
import { CaptionReply } from '@blip2/shared/schemas/captions';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  base64,
  newImage,
  startEdge as start,
  type TestEdge,
  type TestSetup,
  testEnv,
} from '../testing/edge.ts';
import { EMBEDDINGS } from '../testing/fake-gpu.ts';
import { generative } from '../testing/models.ts';
import { Sealer } from './sealed-entry.ts';

/** Without a cache of replies, which would spare the look-ups that are tested. */
const startEdge = (setup: TestSetup = {}) =>
  start({ ...setup, env: { REPLY_TTL_HOURS: '0', ...setup.env } });

let edge: TestEdge;
let imageBytes: Uint8Array<ArrayBuffer>;
beforeEach(() => {
  edge = startEdge();
  imageBytes = newImage();
});

const send = (bytes = imageBytes) => edge.post('/v1/captions', { image: { data: base64(bytes) } });
const read = async (response: Response) => CaptionReply.parse(await response.json());
const encodes = () => edge.gpu.received.filter(({ with: source }) => source === 'image').length;

describe('concurrent requests for one new image', () => {
  it('are served by one encode', async () => {
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.start = gate.promise;
    const sent = Array.from({ length: 5 }, () => send());
    await edge.gpu.untilReceived(1);
    gate.resolve();
    const replies = await Promise.all((await Promise.all(sent)).map(read));
    expect(replies.map(({ caption }) => caption)).toEqual(Array(5).fill('a red dog'));
    expect(new Set(replies.map(({ image }) => image.width))).toEqual(new Set([40]));
    expect(encodes()).toBe(1);
    expect(edge.gpu.received).toHaveLength(5);
  });

  it('are served by the next of them when the first fails', async () => {
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.start = gate.promise;
    const sent = [send(), send(), send()];
    await edge.gpu.untilReceived(1);
    edge.gpu.script.start = Promise.resolve();
    gate.reject(new ApiError('shutting-down', 'bye'));
    const statuses = (await Promise.all(sent)).map(({ status }) => status);
    expect(statuses.toSorted()).toEqual([200, 200, 503]);
    expect(encodes()).toBe(2);
  });

  it('are served by the next of them when the client of the first goes away', async () => {
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.start = gate.promise;
    const image = { data: base64(imageBytes) };
    const first = await edge.post('/v1/captions', { image, stream: true });
    const reader = first.body?.getReader();
    const beat = reader?.read();
    await edge.gpu.untilReceived(1);
    const second = send();
    edge.gpu.script.start = Promise.resolve();
    await beat;
    await reader?.cancel();
    expect((await read(await second)).caption).toBe('a red dog');
    expect(edge.gpu.canceled).toBe(1);
    expect(encodes()).toBe(2);
    gate.resolve();
  });

  it('are all refused after one try when it cannot be read', async () => {
    edge.gpu.script.refuse = new ApiError('invalid-image', 'truncated');
    const replies = await Promise.all([send(), send(), send()]);
    expect(replies.map(({ status }) => status)).toEqual([400, 400, 400]);
    expect(encodes()).toBe(1);
  });

  it('may name it by its hash while it is being encoded', async () => {
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.start = gate.promise;
    const first = send();
    await edge.gpu.untilReceived(1);
    const byHash = edge.post('/v1/captions', { image: { sha256: await imageIdOf(imageBytes) } });
    gate.resolve();
    expect((await Promise.all([first, byHash])).map(({ status }) => status)).toEqual([200, 200]);
    expect(encodes()).toBe(1);
  });
});

describe('cached embeddings', () => {
  it('are read from KV where the location has none, and from the location afterwards', async () => {
    const key = embeddingKey(
      { kind: 'query', ...generative },
      imagePathOf('', await imageIdOf(imageBytes)),
    );
    const image = { width: 9, height: 8, format: 'gif' } as const;
    const expires_at = Math.floor(Date.now() / 1000) + 2_000_000;
    const metadata = await new Sealer().seal(key, EMBEDDINGS, {
      image,
      expires_at,
      sent_at: Date.now(),
    });
    await edge.kv.put(key, EMBEDDINGS, { metadata });
    expect(await read(await send())).toMatchObject({ cache: 'kv', image });
    await edge.settled();
    expect(edge.gpu.received[0]?.payload).toEqual(EMBEDDINGS);
    await edge.kv.delete(key);
    // Another isolate, which has not used them yet.
    edge = startEdge();
    expect(await read(await send())).toMatchObject({ cache: 'colo', image });
    expect(encodes()).toBe(0);
  });

  it('are served from the isolate that used them last, without the other caches', async () => {
    await send();
    await edge.settled();
    const key = embeddingKey(
      { kind: 'query', ...generative },
      imagePathOf('', await imageIdOf(imageBytes)),
    );
    await edge.kv.delete(key);
    await caches.default.delete(`https://embeddings.blip2.invalid/${key}`);
    expect((await read(await send())).cache).toBe('colo');
    expect(encodes()).toBe(1);
    edge = startEdge();
    expect((await read(await send())).cache).toBe('miss');
  });

  const damaged = EMBEDDINGS.slice();
  damaged[500] = (damaged[500] ?? 0) ^ 1;
  const info = { width: 9, height: 8, format: 'gif' };
  it.each<[string, Uint8Array, unknown]>([
    ['damaged', damaged, info],
    ['truncated', EMBEDDINGS.slice(0, 99), info],
    ['empty', new Uint8Array(), info],
    [
      'of another shape',
      encodeEmbeddings({ numQueries: 1, hidden: 1, values: new Float32Array(1) }, 'float16'),
      info,
    ],
    ['without image info', EMBEDDINGS, null],
    ['without a seal', EMBEDDINGS, info],
  ])('that are %s are a miss, counted and replaced', async (_name, value, metadata) => {
    const key = embeddingKey(
      { kind: 'query', ...generative },
      imagePathOf('', await imageIdOf(imageBytes)),
    );
    await edge.kv.put(key, value, { metadata });
    expect((await read(await send())).cache).toBe('miss');
    await edge.settled();
    const stored = await edge.kv.getWithMetadata(key, 'arrayBuffer');
    expect(new Uint8Array(stored.value as ArrayBuffer)).toEqual(EMBEDDINGS);
    expect(stored.metadata).toMatchObject({ image: { width: 40, height: 30, format: 'png' } });
    const health = await (await edge.request('/healthz')).json();
    expect(health).toMatchObject({ damaged_entries: 1 });
  });

  it('that are damaged are deleted when only the hash was sent', async () => {
    const sha256 = await imageIdOf(imageBytes);
    const key = embeddingKey({ kind: 'query', ...generative }, imagePathOf('', sha256));
    await edge.kv.put(key, damaged);
    expect((await edge.request(`/v1/embeddings/${sha256}`)).status).toBe(404);
    await edge.settled();
    expect(await edge.kv.get(key)).toBeNull();
  });

  it('that are damaged in the location are read from KV', async () => {
    await send();
    await edge.settled();
    const key = embeddingKey(
      { kind: 'query', ...generative },
      imagePathOf('', await imageIdOf(imageBytes)),
    );
    const url = `https://embeddings.blip2.invalid/${key}`;
    const headers = { 'cache-control': 'max-age=60', 'x-embeddings': JSON.stringify(info) };
    await caches.default.put(url, new Response(damaged, { headers }));
    edge = startEdge();
    expect((await read(await send())).cache).toBe('kv');
  });
});

describe('KV that neither succeeds nor fails', () => {
  const kv = new Proxy(testEnv.EMBEDDINGS, { get: () => () => new Promise(() => {}) });
  beforeEach(() => {
    edge = startEdge({ env: { EMBEDDINGS: kv, CACHE_TIMEOUT_MS: '50' } });
  });

  it('leaves images to be captioned and embedded', async () => {
    expect((await read(await send())).cache).toBe('miss');
    const image = { data: base64(newImage()) };
    const embedded = await edge.post('/v1/embeddings', { image });
    expect(await embedded.json()).toMatchObject({ cache: 'miss' });
    await edge.settled();
  });

  it('delays no reply for long where it does not store', async () => {
    const { get, getWithMetadata } = Object.fromEntries(
      (['get', 'getWithMetadata'] as const).map((name) => [
        name,
        testEnv.EMBEDDINGS[name].bind(testEnv.EMBEDDINGS),
      ]),
    );
    const stuck = { get, getWithMetadata, put: () => new Promise(() => {}) };
    const EMBEDDINGS = stuck as unknown as KVNamespace;
    const anHour = '3600000';
    edge = startEdge({
      env: { EMBEDDINGS, CACHE_TIMEOUT_MS: anHour, REQUEST_DEADLINE_MS: anHour },
    });
    const embedded = await edge.post('/v1/embeddings', { image: { data: base64(imageBytes) } });
    expect(embedded.status).toBe(200);
  });

  it('is reported to a request by hash, and by health', async () => {
    const sha256 = await imageIdOf(imageBytes);
    for (const response of [
      await edge.post('/v1/captions', { image: { sha256 } }),
      await edge.request(`/v1/embeddings/${sha256}`),
      await edge.request('/healthz'),
    ]) {
      expect(response.status).toBe(503);
      expect(await response.json()).toMatchObject({ type: '/problems/cache-unavailable' });
    }
  });
});

describe('KV that is down', () => {
  const kv = new Proxy(testEnv.EMBEDDINGS, {
    get: () => () => Promise.reject(new Error('KV is down')),
  });
  beforeEach(() => {
    edge = startEdge({ env: { EMBEDDINGS: kv } });
  });

  it('leaves images to be captioned, and to be cached in the location', async () => {
    expect((await read(await send())).cache).toBe('miss');
    await edge.settled();
    expect((await read(await send())).cache).toBe('colo');
  });

  it('is reported to a request by hash, rather than that the image is unknown', async () => {
    const sha256 = await imageIdOf(imageBytes);
    for (const response of [
      await edge.post('/v1/captions', { image: { sha256 } }),
      await edge.post('/v1/captions', { image: { sha256 }, stream: true }),
      await edge.request(`/v1/embeddings/${sha256}`),
    ]) {
      expect(response.status).toBe(503);
      expect(response.headers.get('retry-after')).toBe('5');
      expect(await response.json()).toMatchObject({ type: '/problems/cache-unavailable' });
    }
  });
});

describe('a GPU worker', () => {
  it.each<[string, (gpu: TestEdge['gpu']) => void, string]>([
    [
      'that is gone',
      (gpu) => {
        gpu.script.isGone = true;
      },
      'worker-unavailable',
    ],
    [
      'that breaks off',
      (gpu) => {
        gpu.script.breakOff = true;
      },
      'worker-unavailable',
    ],
    [
      'whose reply is no frames',
      (gpu) => {
        gpu.script.raw = new Uint8Array(64).fill(9);
      },
      'bad-gateway',
    ],
    [
      'whose reply is empty',
      (gpu) => {
        gpu.script.raw = new Uint8Array();
      },
      'worker-unavailable',
    ],
    [
      'of another model',
      (gpu) => {
        gpu.script.refuse = new ApiError('model-mismatch', 'x');
      },
      'model-mismatch',
    ],
    [
      'that is busy',
      (gpu) => {
        gpu.script.refuse = new ApiError('overloaded', 'x', { retry_after: 2 });
      },
      'overloaded',
    ],
    [
      'that fails late',
      (gpu) => {
        gpu.script.failLate = new ApiError('deadline-exceeded', 'x').toProblem();
      },
      'deadline-exceeded',
    ],
  ])('%s is reported', async (_name, arrange, slug) => {
    arrange(edge.gpu);
    const response = await send();
    expect(await response.json()).toMatchObject({ type: `/problems/${slug}` });
    if (response.status === 503)
      expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
  });

  it('that never replies is given up after the deadline', async () => {
    edge = startEdge({ env: { REQUEST_DEADLINE_MS: '50' } });
    edge.gpu.script.start = new Promise(() => {});
    expect((await send()).status).toBe(504);
  });

  it('is canceled when the client of a stream goes away', async () => {
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.token = () => gate.promise;
    const response = await edge.post('/v1/captions', {
      image: { data: base64(imageBytes) },
      stream: true,
    });
    const reader = response.body?.getReader();
    await reader?.read();
    await reader?.cancel();
    await edge.gpu.untilCanceled(1);
    gate.resolve();
  });
});
