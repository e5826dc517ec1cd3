import { embeddingKey, type ImagePath, imagePathOf } from '@blip2/shared/cache-key';
import { encodeEmbeddings } from '@blip2/shared/embedding-codec';
import { imageIdOf } from '@blip2/shared/image-id';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { Deletions } from '../deletion/deletions.ts';
import { newImage, testContext, testEnv } from '../testing/edge.ts';
import { type CachedImage, type Caches, EmbeddingCache } from './embedding-cache.ts';
import { Sealer } from './sealed-entry.ts';

const shape = { numQueries: 2, hidden: 3 };
const space = { kind: 'query', revision: 'r', preprocessing: 'p' } as const;
const values = Float32Array.of(1, 2, 3, 4, 5, 6);
const entry: CachedImage = {
  embeddings: encodeEmbeddings({ ...shape, values }, 'float16'),
  image: { width: 9, height: 8, format: 'gif' },
  sentAt: Date.now(),
};

const kv = testEnv.EMBEDDINGS;
const colo = caches.default;

/** A service of which every method fails. */
const down = <Service extends object>(service: Service): Service =>
  new Proxy(service, {
    get: () => () => Promise.reject(new Error('the service is down')),
  });

/** A service that takes every call and never answers one. */
const silent = <Service extends object>(service: Service) => {
  let calls = 0;
  const proxy = new Proxy(service, {
    get: () => () => {
      calls++;
      return new Promise(() => {});
    },
  });
  return { service: proxy, calls: () => calls };
};

const DAY = 86_400;
const caching: Omit<Caches, 'deletions'> = {
  kv,
  coloCache: colo,
  now: Date.now,
  timeoutMs: 1000,
  ttlSeconds: 30 * DAY,
};
const cacheOf = (change: Partial<Caches> = {}) => {
  const caches = { ...caching, ...change };
  return new EmbeddingCache({ deletions: new Deletions(caches), ...caches }, space, shape);
};

type Given = { value?: Uint8Array; image?: CachedImage['image']; at?: string; secret?: string };

/** What is stored beside a value. */
function headOf(
  { value = entry.embeddings, image = entry.image, at = key, secret }: Given = {},
  secondsLeft = 30 * DAY,
) {
  const expires_at = Math.floor(Date.now() / 1000) + secondsLeft;
  return new Sealer(secret).seal(at, value, { image, expires_at, sent_at: entry.sentAt });
}

let id: ImagePath;
let key: string;
let url: string;
let request: ReturnType<typeof testContext>;
beforeEach(async () => {
  id = imagePathOf('', await imageIdOf(newImage()));
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
    await kv.put(key, entry.embeddings, { metadata: await headOf() });
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
      const cache = new EmbeddingCache(
        { ...caching, deletions: new Deletions(caching) },
        other,
        shape,
      );
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

describe('KV that is silent', () => {
  it('makes a look-up fail in time, and is left alone then', async () => {
    const { service, calls } = silent(kv);
    const cache = cacheOf({ kv: service, timeoutMs: 20 });
    const failed = { kind: 'miss', reason: 'failed' };
    expect(await cache.lookup(id, request.context)).toEqual(failed);
    expect(await cache.lookup(id, request.context)).toEqual(failed);
    await cache.put(id, entry, request.context);
    await cache.delete(id, request.context);
    expect(await cache.hasInstructions(id, request.context)).toBe(false);
    // The look-up, and the one for deletions of what was put.
    expect(calls()).toBe(2);
  });

  it.each([
    ['after a while', 10_000],
    ['when the clock has been set back', -86_400_000],
  ])('is asked again %s', async (_, later) => {
    const { service, calls } = silent(kv);
    let time = Date.now();
    const cache = cacheOf({ kv: service, timeoutMs: 20, now: () => time });
    await cache.lookup(id, request.context);
    time += later;
    await cache.lookup(id, request.context);
    expect(calls()).toBe(2);
  });

  it('lets nothing that is stored or deleted wait for ever', async () => {
    const cache = () => cacheOf({ kv: silent(kv).service, timeoutMs: 20 });
    await cache().put(id, entry, request.context);
    await cache().delete(id, request.context);
    expect(await cache().hasInstructions(id, request.context)).toBe(false);
  });
});

describe('the cache of the location that is silent', () => {
  it('leaves everything to KV', async () => {
    await cacheOf({ coloCache: silent(colo).service, timeoutMs: 20 }).put(
      id,
      entry,
      request.context,
    );
    const cache = cacheOf({ coloCache: silent(colo).service, timeoutMs: 20 });
    expect(await cache.lookup(id, request.context)).toEqual({ kind: 'hit', tier: 'kv', entry });
    await request.settled();
  });

  it('may be silent in the middle of a value', async () => {
    await kv.put(key, entry.embeddings, { metadata: await headOf() });
    const head = JSON.stringify(await headOf());
    const stalls = new Proxy(colo, {
      get: (_, name) => async () => {
        if (name !== 'match') return;
        return new Response(new ReadableStream(), { headers: { 'x-embeddings': head } });
      },
    });
    const cache = cacheOf({ coloCache: stalls, timeoutMs: 20 });
    expect(await cache.lookup(id, request.context)).toMatchObject({ kind: 'hit', tier: 'kv' });
    await kv.delete(key);
    const fresh = cacheOf({ coloCache: stalls, timeoutMs: 20 });
    expect(await fresh.read(id, request.context)).toEqual({ kind: 'miss', reason: 'failed' });
    await request.settled();
  });

  it.each([
    ['silent', () => silent(colo).service],
    ['down', () => down(colo)],
  ])('leaves open to one of many whether what KV lacks is there: %s', async (_, service) => {
    const cache = cacheOf({ coloCache: service(), timeoutMs: 20 });
    expect(await cache.read(id, request.context)).toEqual({ kind: 'miss', reason: 'failed' });
    expect(await cache.lookup(id, request.context)).toEqual({ kind: 'miss', reason: 'absent' });
  });
});

const other = { ...entry, embeddings: entry.embeddings.slice() };
const others = encodeEmbeddings({ ...shape, values: values.toReversed() }, 'float16');

describe('an entry of KV that is damaged', () => {
  it.each<[string, Uint8Array, () => unknown]>([
    ['in its values', damaged, () => headOf({ value: damaged })],
    ['at its end', entry.embeddings.slice(0, -1), () => headOf()],
    ['to nothing', new Uint8Array(), () => headOf()],
    [
      'in its shape',
      encodeEmbeddings({ numQueries: 3, hidden: 2, values }, 'float16'),
      () => headOf(),
    ],
    ['by missing image info', entry.embeddings, () => null],
    [
      'in its image info',
      entry.embeddings,
      async () => ({ ...(await headOf()), image: { ...entry.image, format: 'bmp' } }),
    ],
    ['as earlier versions wrote it', entry.embeddings, () => entry.image],
    ['by no seal', entry.embeddings, async () => ({ ...(await headOf()), seal: undefined })],
    ['by the seal of another key', entry.embeddings, () => headOf({ at: 'qf/r/p/other' })],
    ['by the seal of other values', others, () => headOf()],
    [
      'by the seal of another size',
      entry.embeddings,
      async () => ({ ...(await headOf()), image: { ...entry.image, width: 10 } }),
    ],
    [
      'by the seal of another time',
      entry.embeddings,
      async () => ({ ...(await headOf()), expires_at: 9_999_999_999 }),
    ],
  ])('%s is a miss, and counted', async (_how, value, head) => {
    await kv.put(key, value, { metadata: await head() });
    const cache = cacheOf();
    expect(await cache.lookup(id, request.context)).toEqual({ kind: 'miss', reason: 'damaged' });
    expect(cache.damagedEntries).toBe(1);
    await request.settled();
    expect(await colo.match(url)).toBeUndefined();
    // What is computed in its place overwrites it.
    await cache.put(id, other, request.context);
    await colo.delete(url);
    expect(await cacheOf().lookup(id, request.context)).toMatchObject({ kind: 'hit', tier: 'kv' });
    await request.settled();
  });
});

describe('an entry that somebody without the secret wrote', () => {
  it.each<[string, Given]>([
    ['without any', {}],
    ['with another', { secret: 'theirs' }],
  ])('%s is a miss, wherever it stands', async (_how, given) => {
    const head = await headOf({ ...given, value: others });
    await kv.put(key, others, { metadata: head });
    await colo.put(
      url,
      new Response(others, { headers: { 'x-embeddings': JSON.stringify(head) } }),
    );
    const cache = cacheOf({ secret: 'ours' });
    expect(await cache.lookup(id, request.context)).toEqual({ kind: 'miss', reason: 'damaged' });
    await request.settled();
  });

  it('does not keep out what was written with it', async () => {
    await cacheOf({ secret: 'ours' }).put(id, entry, request.context);
    expect(await cacheOf({ secret: 'ours' }).lookup(id, request.context)).toMatchObject({ entry });
    await colo.delete(url);
    expect(await cacheOf({ secret: 'ours' }).lookup(id, request.context)).toMatchObject({ entry });
    await request.settled();
  });
});

describe('an entry of the location that is damaged', () => {
  it.each<[string, Uint8Array, () => unknown]>([
    ['in its values', damaged, () => headOf({ value: damaged })],
    ['in what is beside it', entry.embeddings, () => '{'],
    ['by missing image info', entry.embeddings, () => undefined],
    ['by the seal of another key', entry.embeddings, () => headOf({ at: 'qf/r/p/other' })],
  ])('%s is deleted, and KV asked', async (_how, value, made) => {
    const head = await made();
    const text = typeof head === 'string' ? head : JSON.stringify(head);
    const response = new Response(value, {
      headers: {
        'cache-control': 'max-age=60',
        ...(text === undefined ? {} : { 'x-embeddings': text }),
      },
    });
    await colo.put(url, response);
    const cache = cacheOf();
    expect(await cache.lookup(id, request.context)).toEqual({ kind: 'miss', reason: 'absent' });
    expect(cache.damagedEntries).toBe(1);
    await request.settled();
    expect(await colo.match(url)).toBeUndefined();
  });
});

describe('an entry', () => {
  const expiryOf = async () => {
    const { keys } = await kv.list({ prefix: key });
    return (keys[0]?.expiration ?? 0) - Math.floor(Date.now() / 1000);
  };

  it('is kept for the time that is configured, and at its location until it may be renewed', async () => {
    const put = vi.spyOn(colo, 'put');
    await cacheOf({ ttlSeconds: 8 * DAY }).put(id, entry, request.context);
    expect(await expiryOf()).toBeGreaterThan(8 * DAY - 60);
    expect(await expiryOf()).toBeLessThanOrEqual(8 * DAY);
    const stored = put.mock.lastCall?.[1].headers.get('cache-control');
    expect(stored).toMatch(new RegExp(`max-age=${6 * DAY}\\b`));
    put.mockRestore();
  });

  it.each<[string, number, boolean]>([
    ['early', 20, false],
    ['near its end', 5, true],
  ])('that is read %s: renewed: %j', async (_when, daysLeft, isRenewed) => {
    const head = await headOf({}, daysLeft * DAY);
    await kv.put(key, entry.embeddings, { metadata: head, expirationTtl: daysLeft * DAY });
    expect(await cacheOf().lookup(id, request.context)).toMatchObject({ tier: 'kv' });
    await request.settled();
    expect((await expiryOf()) > 25 * DAY).toBe(isRenewed);
  });

  it('whose time is over is not used, though a cache still has it', async () => {
    await kv.put(key, entry.embeddings, { metadata: await headOf({}, -1) });
    const cache = cacheOf();
    expect(await cache.lookup(id, request.context)).toMatchObject({ kind: 'miss' });
    expect(cache.damagedEntries).toBe(0);
  });
});

it('a value of another shape or a damaged one does not pass the check', () => {
  const cache = cacheOf();
  expect(() => cache.checkValue(entry.embeddings)).not.toThrow();
  expect(() => cache.checkValue(damaged)).toThrow(/damaged/);
});
