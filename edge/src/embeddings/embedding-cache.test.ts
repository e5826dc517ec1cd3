import { embeddingKey } from '@blip2/shared/cache-key';
import { encodeEmbeddings } from '@blip2/shared/embedding-codec';
import { imageIdOf } from '@blip2/shared/image-id';
import { beforeEach, describe, expect, it } from 'vitest';
import { newImage, testContext, testEnv } from '../testing/edge.ts';
import { type CachedImage, EmbeddingCache } from './embedding-cache.ts';

const shape = { numQueries: 2, hidden: 3 };
const space = { kind: 'query', revision: 'r', preprocessing: 'p' } as const;
const values = Float32Array.of(1, 2, 3, 4, 5, 6);
const entry: CachedImage = {
  embeddings: encodeEmbeddings({ ...shape, values }, 'float16'),
  image: { width: 9, height: 8, format: 'gif' },
};

const kv = testEnv.EMBEDDINGS;
const colo = caches.default;

/** A service of which every method fails. */
const down = <Service extends object>(service: Service): Service =>
  new Proxy(service, {
    get: () => () => Promise.reject(new Error('the service is down')),
  });

const cacheOf = (change: { kv?: KVNamespace; coloCache?: Cache } = {}) =>
  new EmbeddingCache({ kv, coloCache: colo, now: Date.now, ...change }, space, shape);

let id: string;
let key: string;
let url: string;
let request: ReturnType<typeof testContext>;
beforeEach(async () => {
  id = await imageIdOf(newImage());
  key = embeddingKey(space, id);
  url = `https://embeddings.blip2.invalid/${key}`;
  request = testContext();
});

const damaged = entry.embeddings.slice();
damaged[20] = (damaged[20] ?? 0) ^ 1;

describe('an image that was never sent', () => {
  it('is absent from every tier', async () => {
    expect(await cacheOf().lookup(id, request.context)).toEqual({ kind: 'miss', reason: 'absent' });
  });
});

describe('cached embeddings', () => {
  it('are a hit in their location, and from KV in every other', async () => {
    await cacheOf().put(id, entry, request.context);
    const here = await cacheOf().lookup(id, request.context);
    expect(here).toEqual({ kind: 'hit', tier: 'colo', entry });
    await colo.delete(url);
    const elsewhere = await cacheOf().lookup(id, request.context);
    expect(elsewhere).toEqual({ kind: 'hit', tier: 'kv', entry });
  });

  it('come from KV once, and from the location then', async () => {
    await kv.put(key, entry.embeddings, { metadata: entry.image });
    expect(await cacheOf().lookup(id, request.context)).toMatchObject({ tier: 'kv' });
    await request.settled();
    const second = await cacheOf({ kv: down(kv) }).lookup(id, request.context);
    expect(second).toEqual({ kind: 'hit', tier: 'colo', entry });
  });

  it('of one space are not those of another', async () => {
    await cacheOf().put(id, entry, request.context);
    for (const other of [
      { ...space, kind: 'itc' as const },
      { ...space, revision: 'other' },
      { ...space, preprocessing: 'other' },
    ]) {
      const cache = new EmbeddingCache({ kv, coloCache: colo, now: Date.now }, other, shape);
      expect(await cache.lookup(id, request.context)).toMatchObject({ kind: 'miss' });
    }
  });

  it('can be deleted from KV', async () => {
    await kv.put(key, entry.embeddings, { metadata: entry.image });
    await cacheOf().delete(id, request.context);
    expect(await kv.get(key)).toBeNull();
  });
});

describe('KV that is down', () => {
  it('makes a look-up fail, rather than report the image as absent', async () => {
    const cache = cacheOf({ kv: down(kv) });
    expect(await cache.lookup(id, request.context)).toEqual({ kind: 'miss', reason: 'failed' });
  });

  it('does not affect what the location has', async () => {
    const cache = cacheOf({ kv: down(kv) });
    await cache.put(id, entry, request.context);
    expect(await cache.lookup(id, request.context)).toMatchObject({ kind: 'hit', tier: 'colo' });
    await cache.delete(id, request.context);
  });
});

describe('the cache of the location that is down', () => {
  it('leaves everything to KV', async () => {
    const withoutColo = () => cacheOf({ coloCache: down(colo) });
    await withoutColo().put(id, entry, request.context);
    const lookup = await withoutColo().lookup(id, request.context);
    expect(lookup).toEqual({ kind: 'hit', tier: 'kv', entry });
    await request.settled();
  });
});

describe('an entry of KV that is damaged', () => {
  it.each<[string, Uint8Array, unknown]>([
    ['in its values', damaged, entry.image],
    ['at its end', entry.embeddings.slice(0, -1), entry.image],
    ['to nothing', new Uint8Array(), entry.image],
    [
      'in its shape',
      encodeEmbeddings({ numQueries: 3, hidden: 2, values }, 'float16'),
      entry.image,
    ],
    ['by missing image info', entry.embeddings, null],
    ['in its image info', entry.embeddings, { width: 9, height: 8, format: 'bmp' }],
  ])('%s is a miss, and counted', async (_how, value, metadata) => {
    await kv.put(key, value, { metadata });
    const cache = cacheOf();
    expect(await cache.lookup(id, request.context)).toEqual({ kind: 'miss', reason: 'damaged' });
    expect(cache.damagedEntries).toBe(1);
    await request.settled();
    expect(await colo.match(url)).toBeUndefined();
  });
});

describe('an entry of the location that is damaged', () => {
  it.each<[string, Uint8Array, Record<string, string>]>([
    ['in its values', damaged, { 'x-image': JSON.stringify(entry.image) }],
    ['in its image info', entry.embeddings, { 'x-image': '{' }],
    ['by missing image info', entry.embeddings, {}],
  ])('%s is deleted, and KV asked', async (_how, value, headers) => {
    const response = new Response(value, {
      headers: { 'cache-control': 'max-age=60', ...headers },
    });
    await colo.put(url, response);
    const cache = cacheOf();
    expect(await cache.lookup(id, request.context)).toEqual({ kind: 'miss', reason: 'absent' });
    expect(cache.damagedEntries).toBe(1);
    await request.settled();
    expect(await colo.match(url)).toBeUndefined();
  });
});

it('a value of another shape or a damaged one does not pass the check', () => {
  const cache = cacheOf();
  expect(() => cache.checkValue(entry.embeddings)).not.toThrow();
  expect(() => cache.checkValue(damaged)).toThrow(/damaged/);
});
