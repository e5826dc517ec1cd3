/** Cached replies in their tiers: the location's cache and KV as they are, damaged, forged, down and silent. */
import { imagePathOf } from '@blip2/shared/cache-key';
import { imageIdOf } from '@blip2/shared/image-id';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { Deletions } from '../deletion/deletions.ts';
import { newImage, testContext, testEnv } from '../testing/edge.ts';
import { ReplyCache, type ReplyCacheOptions } from './reply-cache.ts';
import { mergeEntries, type ReplyEntry, readEntries } from './reply-entry.ts';
import type { ReplyKey } from './reply-key.ts';
import type { ReplyRecord } from './reply-record.ts';

const kv = testEnv.EMBEDDINGS;
const colo = caches.default;
const HOUR = 3600;

const caching = {
  kv,
  coloCache: colo,
  now: Date.now,
  timeoutMs: 1000,
  ttlSeconds: 24 * HOUR,
  usesKv: true,
};
/** Of one isolate, which knows of no deletions by others. */
const cacheOf = (change: Partial<ReplyCacheOptions> = {}) => {
  const options = { ...caching, ...change };
  return new ReplyCache({ deletions: new Deletions(options), ...options });
};

const down = <Service extends object>(service: Service): Service =>
  new Proxy(service, { get: () => () => Promise.reject(new Error('the service is down')) });

const record: ReplyRecord = {
  image: { width: 9, height: 8, format: 'gif' },
  tokens: [
    { choice: 0, tokens: [{ id: 5 }, { id: 70_000 }] },
    { choice: 1, tokens: [{ id: 7, scored: { logprob: -0.5, top: [{ id: 7, logprob: -0.5 }] } }] },
  ],
  choices: [
    { finish_reason: 'stop', completion_tokens: 2, score: -0.31 },
    { finish_reason: 'length', completion_tokens: 1 },
  ],
};

let id: string;
let key: ReplyKey;
let request: ReturnType<typeof testContext>;
beforeEach(async () => {
  id = await imageIdOf(newImage());
  key = { image: imagePathOf('', id), digest: 'a'.repeat(64) };
  request = testContext();
});

const wanted = (change: object = {}) => ({
  maxAge: Number.POSITIVE_INFINITY,
  worker: async () => 'w',
  ...change,
});
const written = (change: object = {}) => ({
  record,
  worker: 'w',
  askedAt: Date.now(),
  sentAt: Date.now(),
  ...change,
});
const find = async (cache: ReplyCache, want = wanted(), at = key) =>
  (await cache.findStored(at, want, request.context))?.record ?? null;
const findRecent = async (cache: ReplyCache, at = key) =>
  (await cache.findRecent(at, wanted(), request.context))?.record ?? null;
const put = (cache = cacheOf(), at = key, reply = written()) =>
  cache.put(at, reply, request.context);
const url = () => `https://reply-cache.blip2.invalid/${key.image}`;
const kvKey = () => `replies/${key.image}/${key.digest}`;
const other = () => ({ ...key, digest: 'b'.repeat(64) });

describe('a cached reply', () => {
  it('is in memory, in its location, and from KV in every other', async () => {
    const cache = cacheOf();
    await put(cache);
    expect(await findRecent(cache)).toEqual(record);
    expect(await find(cacheOf({ usesKv: false }))).toEqual(record);
    await colo.delete(url());
    expect(await find(cacheOf({ usesKv: false }))).toBeNull();
    expect(await find(cacheOf())).toEqual(record);
    await request.settled();
    expect(await find(cacheOf({ kv: down(kv) }))).toEqual(record);
  });

  it('is in KV only where that is configured', async () => {
    await put(cacheOf({ usesKv: false }));
    expect(await kv.get(kvKey())).toBeNull();
  });

  it('stands beside others about the same image', async () => {
    await put(cacheOf());
    await put(cacheOf(), other());
    expect(await find(cacheOf())).toEqual(record);
    expect(await find(cacheOf(), wanted(), other())).toEqual(record);
  });

  it('is made again at the same time as others, and none of them is lost', async () => {
    const cache = cacheOf({ usesKv: false });
    const keys = Array.from({ length: 9 }, (_, i) => ({ ...key, digest: String(i).repeat(64) }));
    await Promise.all(keys.map((at) => put(cache, at)));
    const elsewhere = cacheOf({ usesKv: false });
    for (const at of keys) expect(await find(elsewhere, wanted(), at)).toEqual(record);
  });

  it('ends with its time, in every tier', async () => {
    let seconds = 0;
    const now = () => Date.now() + 1000 * seconds;
    await put(cacheOf({ now }));
    seconds = 24 * HOUR - 2;
    expect(await find(cacheOf({ now }))).toEqual(record);
    seconds = 24 * HOUR + 1;
    expect(await find(cacheOf({ now }))).toBeNull();
  });

  it('is not for who wants a younger one, nor of another worker', async () => {
    const later = { now: () => Date.now() + 60_000 };
    await put();
    expect(await find(cacheOf(later), wanted({ maxAge: 30 }))).toBeNull();
    expect(await find(cacheOf(later), wanted({ maxAge: 90 }))).toEqual(record);
    expect(await find(cacheOf(), wanted({ worker: async () => 'other' }))).toBeNull();
    expect(await find(cacheOf(), wanted({ worker: async () => undefined }))).toBeNull();
  });

  it('asks for the worker only where there is a reply', async () => {
    const worker = vi.fn(async () => 'w');
    expect(await find(cacheOf(), wanted({ worker }))).toBeNull();
    expect(worker).not.toHaveBeenCalled();
  });

  it('is not one that is too long', async () => {
    const tokens = [{ choice: 0, tokens: Array.from({ length: 20_000 }, (_, at) => ({ id: at })) }];
    await put(cacheOf(), key, written({ record: { ...record, tokens } }));
    expect(await find(cacheOf())).toBeNull();
  });
});

describe('an entry that is not as it was stored', () => {
  const changed: [string, (entry: ReplyEntry) => unknown][] = [
    ['another worker', (entry) => ({ ...entry, worker: 'v' })],
    ['another time', (entry) => ({ ...entry, asked_at: entry.asked_at + 1 })],
    ['an image sent later', (entry) => ({ ...entry, sent_at: entry.sent_at + 1 })],
    ['other frames', ({ frames, ...entry }) => ({ ...entry, frames: `AAAA${frames.slice(4)}` })],
    ['frames that are cut', ({ frames, ...entry }) => ({ ...entry, frames: frames.slice(0, 40) })],
    ['no base64', (entry) => ({ ...entry, frames: '!' })],
    ['no seal', ({ seal: _seal, ...entry }) => entry],
    ['nothing', () => null],
  ];

  it.each(changed)('with %s is a miss in both tiers, and overwritten', async (_name, change) => {
    await put();
    const [entry] = readEntries((await kv.get(kvKey())) ?? '') ?? [];
    const text = JSON.stringify([change(entry as ReplyEntry)]);
    const headers = { 'cache-control': 'max-age=60' };
    await colo.put(url(), new Response(text, { headers }));
    await kv.put(kvKey(), text);
    const any = wanted({ worker: async () => (text.includes('"v"') ? 'v' : 'w') });
    expect(await find(cacheOf(), any)).toBeNull();
    await put();
    expect(await find(cacheOf({ usesKv: false }))).toEqual(record);
    await colo.delete(url());
    expect(await find(cacheOf())).toEqual(record);
  });

  it.each(['', 'x', '{}', '[{}]', '[1]'])('%j is a miss', async (text) => {
    await colo.put(url(), new Response(text, { headers: { 'cache-control': 'max-age=60' } }));
    await kv.put(kvKey(), text);
    expect(await find(cacheOf())).toBeNull();
    await put();
    expect(await find(cacheOf())).toEqual(record);
  });

  it('of another key is a miss', async () => {
    await put();
    const stored = (await kv.get(kvKey())) ?? '';
    const at = other();
    await kv.put(`${at.image}/${at.digest}`, stored.replaceAll(key.digest, at.digest));
    expect(await find(cacheOf(), wanted(), at)).toBeNull();
  });

  it('was sealed with another secret, or with none, is a miss', async () => {
    await put();
    expect(await find(cacheOf({ secret: 's' }))).toBeNull();
    await put(cacheOf({ secret: 's' }));
    expect(await find(cacheOf({ secret: 's' }))).toEqual(record);
    expect(await find(cacheOf({ secret: 't' }))).toBeNull();
  });
});

describe('a service that is down', () => {
  it('is done without', async () => {
    const cache = cacheOf({ kv: down(kv), coloCache: down(colo) });
    await put(cache);
    expect(await findRecent(cache)).toEqual(record);
    expect(await find(cacheOf({ kv: down(kv), coloCache: down(colo) }))).toBeNull();
    expect(await cache.deleteImage(key.image, request.context)).toBe(false);
    expect(await findRecent(cache)).toBeNull();
  });

  it('that is silent costs its time once', async () => {
    const get = vi.fn(() => new Promise(() => {}));
    const silent = new Proxy(colo, { get: () => get });
    const cache = cacheOf({ coloCache: silent, usesKv: false, timeoutMs: 20 });
    expect(await find(cache)).toBeNull();
    expect(await find(cache)).toBeNull();
    expect(get).toHaveBeenCalledTimes(1);
  });
});

describe('an image that is deleted', () => {
  it('takes all replies about it along, and nobody else’s', async () => {
    const cache = cacheOf();
    await put(cache);
    await put(cache, other());
    const namespaced = { ...key, image: imagePathOf('0'.repeat(32), id) };
    await put(cache, namespaced);
    expect(await cache.deleteImage(key.image, request.context)).toBe(true);
    for (const at of [key, other()]) {
      expect(await findRecent(cache, at)).toBeNull();
      expect(await find(cacheOf(), wanted(), at)).toBeNull();
    }
    expect(await find(cacheOf(), wanted(), namespaced)).toEqual(record);
    expect((await kv.list({ prefix: `replies/${key.image}/` })).keys).toEqual([]);
  });

  it('is deleted from KV though nothing is put there any more', async () => {
    await put();
    await cacheOf({ usesKv: false }).deleteImage(key.image, request.context);
    expect(await kv.get(kvKey())).toBeNull();
  });

  it('does not come back by a reply that was under way', async () => {
    const deletions = new Deletions(caching);
    const cache = cacheOf({ deletions });
    const sentAt = Date.now();
    deletions.begin(key.image);
    await cache.deleteImage(key.image, request.context);
    await put(cache, key, written({ sentAt, askedAt: Date.now() + 1 }));
    expect(await find(cacheOf())).toBeNull();
    await put(cache, key, written({ sentAt: Date.now() + 1 }));
    expect(await find(cacheOf())).toEqual(record);
  });
});

describe('entries of an image', () => {
  const entry = (digit: number, asked_at: number, length = 10): ReplyEntry => ({
    digest: digit.toString(16).padStart(64, '0'),
    worker: 'w',
    asked_at,
    sent_at: 0,
    verified_at: 0,
    seal: String(asked_at),
    frames: 'A'.repeat(length),
  });

  it('are the newest of each reply, and first what was added', () => {
    const entries = [entry(1, 5), entry(1, 7), entry(2, 8)];
    expect(mergeEntries(entries)).toEqual([entry(2, 8), entry(1, 7)]);
    expect(mergeEntries(entries, entry(2, 6))).toEqual([entry(2, 6), entry(1, 7)]);
  });

  it('are as many as there is room for', () => {
    const many = Array.from({ length: 500 }, (_, i) => entry(i, i));
    expect(mergeEntries(many)).toHaveLength(128);
    expect(mergeEntries(many)[0]).toEqual(entry(499, 499));
    const long = Array.from({ length: 9 }, (_, i) => entry(i, i, 2 ** 16));
    expect(mergeEntries(long)).toHaveLength(2);
  });
});
