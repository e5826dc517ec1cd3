/** Many requests, one picture; entries that are damaged; a GPU worker that fails. */
import { embeddingKey } from '@blip2/shared/cache-key';
import { encodeEmbeddings } from '@blip2/shared/embedding-codec';
import { ApiError } from '@blip2/shared/errors';
import { CaptionReply } from '@blip2/shared/schemas/captions';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { model } from './model.ts';
import { base64, newPicture, sha256Of, startEdge, type TestEdge } from './testing/edge.ts';
import { EMBEDDINGS } from './testing/fake-gpu.ts';

let edge: TestEdge;
let picture: Uint8Array<ArrayBuffer>;
beforeEach(() => {
  edge = startEdge();
  picture = newPicture();
});

const send = (bytes = picture) => edge.post('/v1/captions', { image: { data: base64(bytes) } });
const read = async (response: Response) => CaptionReply.parse(await response.json());
const encodes = () => edge.gpu.seen.filter((seen) => seen.with === 'image').length;
const requestsSeen = (count: number) =>
  vi.waitFor(() => expect(edge.gpu.seen.length).toBe(count), { interval: 2 });

describe('concurrent requests for one new picture', () => {
  it('cause one encode', async () => {
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.start = gate.promise;
    const sent = Array.from({ length: 5 }, () => send());
    await requestsSeen(1);
    gate.resolve();
    const replies = await Promise.all((await Promise.all(sent)).map(read));
    expect(replies.map(({ caption }) => caption)).toEqual(Array(5).fill('a red dog'));
    expect(new Set(replies.map(({ image }) => image.width))).toEqual(new Set([40]));
    expect(encodes()).toBe(1);
    expect(edge.gpu.seen).toHaveLength(5);
  });

  it('go on when the first fails', async () => {
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.start = gate.promise;
    const sent = [send(), send(), send()];
    await requestsSeen(1);
    edge.gpu.script.start = Promise.resolve();
    gate.reject(new Error('connection reset'));
    const statuses = (await Promise.all(sent)).map(({ status }) => status);
    expect(statuses.toSorted()).toEqual([200, 200, 503]);
    expect(encodes()).toBe(2);
  });

  it('go on when the client of the first goes away', async () => {
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.start = gate.promise;
    const image = { data: base64(picture) };
    const first = await edge.post('/v1/captions', { image, stream: true });
    const reader = first.body?.getReader();
    const beat = reader?.read();
    await requestsSeen(1);
    const second = send();
    edge.gpu.script.start = Promise.resolve();
    await beat;
    await reader?.cancel();
    expect((await read(await second)).caption).toBe('a red dog');
    expect(edge.gpu.cancelled).toBe(1);
    expect(encodes()).toBe(2);
    gate.resolve();
  });

  it('all hear that it cannot be read, after one try', async () => {
    edge.gpu.script.refuse = new ApiError('invalid-image', 'truncated');
    const replies = await Promise.all([send(), send(), send()]);
    expect(replies.map(({ status }) => status)).toEqual([400, 400, 400]);
    expect(encodes()).toBe(1);
  });

  it('can name it by its hash as long as it is under way', async () => {
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.start = gate.promise;
    const first = send();
    await requestsSeen(1);
    const byHash = edge.post('/v1/captions', { image: { sha256: await sha256Of(picture) } });
    gate.resolve();
    expect((await Promise.all([first, byHash])).map(({ status }) => status)).toEqual([200, 200]);
    expect(encodes()).toBe(1);
  });
});

describe('kept embeddings', () => {
  it('are read from KV where the location has none, then from the location', async () => {
    const key = embeddingKey({ kind: 'query', ...model }, await sha256Of(picture));
    const metadata = { width: 9, height: 8, format: 'gif' };
    await edge.kv.put(key, EMBEDDINGS, { metadata });
    expect(await read(await send())).toMatchObject({ cache: 'kv', image: metadata });
    await edge.settled();
    expect(edge.gpu.seen[0]?.payload).toEqual(EMBEDDINGS);
    await edge.kv.delete(key);
    // Another isolate, which has not used them yet.
    edge = startEdge();
    expect(await read(await send())).toMatchObject({ cache: 'colo', image: metadata });
    expect(encodes()).toBe(0);
  });

  it('are at hand in the isolate that used them last, whatever becomes of the caches', async () => {
    await send();
    await edge.settled();
    const key = embeddingKey({ kind: 'query', ...model }, await sha256Of(picture));
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
  ])('that are %s are a miss, counted and replaced', async (_name, value, metadata) => {
    const key = embeddingKey({ kind: 'query', ...model }, await sha256Of(picture));
    await edge.kv.put(key, value, { metadata });
    expect((await read(await send())).cache).toBe('miss');
    await edge.settled();
    const kept = await edge.kv.getWithMetadata(key, 'arrayBuffer');
    expect(new Uint8Array(kept.value as ArrayBuffer)).toEqual(EMBEDDINGS);
    expect(kept.metadata).toEqual({ width: 40, height: 30, format: 'png' });
    const health = await (await edge.request('/healthz')).json();
    expect(health).toMatchObject({ damaged_entries: 1 });
  });

  it('that are damaged are dropped when only the hash was sent', async () => {
    const sha256 = await sha256Of(picture);
    const key = embeddingKey({ kind: 'query', ...model }, sha256);
    await edge.kv.put(key, damaged);
    expect((await edge.request(`/v1/embeddings/${sha256}`)).status).toBe(404);
    await edge.settled();
    expect(await edge.kv.get(key)).toBeNull();
  });

  it('that are damaged in the location fall back to KV', async () => {
    await send();
    await edge.settled();
    const key = embeddingKey({ kind: 'query', ...model }, await sha256Of(picture));
    const url = `https://embeddings.blip2.invalid/${key}`;
    const headers = { 'cache-control': 'max-age=60', 'x-image': JSON.stringify(info) };
    await caches.default.put(url, new Response(damaged, { headers }));
    edge = startEdge();
    expect((await read(await send())).cache).toBe('kv');
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
      'that talks nonsense',
      (gpu) => {
        gpu.script.raw = new Uint8Array(64).fill(9);
      },
      'bad-gateway',
    ],
    [
      'that says nothing',
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

  it('that never answers is given up at the deadline', async () => {
    edge = startEdge({ REQUEST_DEADLINE_MS: '50' });
    edge.gpu.script.start = new Promise(() => {});
    expect((await send()).status).toBe(504);
  });

  it('hears when the client of a stream goes away', async () => {
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.token = () => gate.promise;
    const response = await edge.post('/v1/captions', {
      image: { data: base64(picture) },
      stream: true,
    });
    const reader = response.body?.getReader();
    await reader?.read();
    await reader?.cancel();
    await vi.waitFor(() => expect(edge.gpu.cancelled).toBe(1));
    gate.resolve();
  });
});
