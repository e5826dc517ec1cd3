/** Who is let in, on the real KV. */
import { createKey, type KeyRecord, keyName } from '@blip2/shared/api-key';
import { describe, expect, it } from 'vitest';
import { newImage, startEdge, testEnv } from '../testing/edge.ts';
import { KeyStore } from './key-store.ts';

const kv = testEnv.KEYS as KVNamespace;

async function storeKey(change: Partial<KeyRecord> = {}): Promise<string> {
  const key = createKey();
  const record = { name: 'test', scopes: ['text', 'openai'], created_at: Date.now(), ...change };
  await kv.put(await keyName(key), JSON.stringify(record));
  return key;
}

const closed = { env: { ALLOW_ANONYMOUS: '' } };
const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

it.each([
  ['authorization', 'Bearer '],
  ['authorization', 'bearer\t'],
  ['authorization', 'Token '],
  ['x-api-key', ''],
  ['x-moondream-auth', ''],
])('takes a key in %s: %s…', async (header, before) => {
  const { post } = startEdge(closed);
  const key = await storeKey();
  const { status } = await post('/v1/captions', newImage(), { [header]: `${before}${key}` });
  expect(status).toBe(200);
});

it.each([
  ['none', {}, 'missing-key'],
  ['an empty one', { 'x-api-key': ' ' }, 'missing-key'],
  ['another kind of authorization', { authorization: 'Basic YTpi' }, 'missing-key'],
  ['one of another service', bearer('sk-proj-123'), 'invalid-key'],
  ['one that was never made', bearer(createKey()), 'invalid-key'],
])('refuses %s', async (_, headers, slug) => {
  const { post, gpu } = startEdge(closed);
  const response = await post('/v1/captions', newImage(), headers);
  expect(response.status).toBe(401);
  expect(response.headers.get('www-authenticate')).toMatch(/^Bearer realm=/);
  expect(await response.json()).toMatchObject({ type: `/problems/${slug}` });
  expect(gpu.received).toHaveLength(0);
});

it('counts callers by their keys, not by their address', async () => {
  const { post, gpu } = startEdge(closed);
  const keys = [await storeKey(), await storeKey()];
  for (const key of [...keys, ...keys]) await post('/v1/captions', newImage(), bearer(key));
  const clients = gpu.received.map(({ request }) => request.client);
  expect(clients).toHaveLength(4);
  expect(new Set(clients).size).toBe(2);
  expect(clients.join()).not.toContain('sk-');
});

it('refuses an expired key, and says since when', async () => {
  const { post } = startEdge(closed);
  const key = await storeKey({ expires_at: Date.UTC(2020, 0) });
  const response = await post('/v1/captions', newImage(), bearer(key));
  expect(response.status).toBe(401);
  expect(await response.text()).toContain('2020-01-01');
});

it('refuses a key whose record cannot be read', async () => {
  const { post } = startEdge(closed);
  const keys = await Promise.all(
    ['', 'null', '{', '{"name":"x"}', '[]'].map(async (text) => {
      const key = createKey();
      await kv.put(await keyName(key), text);
      return key;
    }),
  );
  for (const key of keys) {
    expect((await post('/v1/captions', newImage(), bearer(key))).status).toBe(401);
  }
});

it('refuses a revoked key once what is remembered of it is old', async () => {
  let now = Date.now();
  // Without the cache of KV's own, which tests cannot wait for.
  const fresh = { get: (name: string) => kv.get(name) } as unknown as KVNamespace;
  const { post } = startEdge({
    env: { ...closed.env, KEYS: fresh },
    platform: { now: () => now },
  });
  const key = await storeKey();
  expect((await post('/v1/captions', newImage(), bearer(key))).status).toBe(200);
  await kv.delete(await keyName(key));
  now += 10_000;
  expect((await post('/v1/captions', newImage(), bearer(key))).status).toBe(401);
});

it('refuses a key of other routes, naming the scope that it lacks', async () => {
  const { post } = startEdge(closed);
  const key = await storeKey({ scopes: ['matching'] });
  const response = await post('/v1/captions', newImage(), bearer(key));
  expect(response.status).toBe(403);
  expect(response.headers.get('www-authenticate')).toContain('scope="text"');
});

it('refuses in the form of OpenAI on its routes', async () => {
  const { request } = startEdge(closed);
  const response = await request('/v1/models', { headers: bearer('sk-none') });
  expect(response.status).toBe(401);
  expect(await response.json()).toMatchObject({
    error: { type: 'authentication_error', code: 'invalid_api_key' },
  });
});

it('lets nobody in while there are neither keys nor leave, and says what to do', async () => {
  const { post } = startEdge({ env: { ALLOW_ANONYMOUS: '', KEYS: undefined as never } });
  const response = await post('/v1/captions', newImage(), bearer(createKey()));
  expect(response.status).toBe(500);
  expect(await response.json()).toMatchObject({
    type: '/problems/not-configured',
    detail: expect.stringContaining('ALLOW_ANONYMOUS=true'),
  });
});

it('lets nobody in while keys cannot be looked up', async () => {
  const broken = { get: () => Promise.reject(new Error('down')) } as unknown as KVNamespace;
  const { post } = startEdge({ env: { ALLOW_ANONYMOUS: '', KEYS: broken } });
  const response = await post('/v1/captions', newImage(), bearer(createKey()));
  expect(response.status).toBe(503);
  expect(response.headers.get('retry-after')).toBe('5');
});

it.each(['/healthz', '/openapi.json', '/', '/problems/missing-key'])(
  'asks for no key at %s',
  async (path) => {
    const { request } = startEdge(closed);
    const reply = await request(path);
    expect(reply.status).toBe(200);
    await reply.body?.cancel();
  },
);

it('reads no key where everybody is let in', async () => {
  const { post } = startEdge();
  expect((await post('/v1/captions', newImage(), bearer('of another service'))).status).toBe(200);
});

it('looks a key up once, and not again for some seconds', async () => {
  let lookups = 0;
  const counting = {
    get: (name: string) => {
      lookups += 1;
      return kv.get(name);
    },
  } as unknown as KVNamespace;
  const { post } = startEdge({ env: { ALLOW_ANONYMOUS: '', KEYS: counting } });
  const key = await storeKey();
  for (let n = 0; n < 5; n++) await post('/v1/captions', newImage(), bearer(key));
  expect(lookups).toBe(1);
});

describe('while others look up keys that were never made', () => {
  /** KV that does not answer for keys that are not stored, as long as the test wants. */
  async function stuck(clock: { now: number }) {
    const answers = Promise.withResolvers<null>();
    const scopes = ['embeddings'];
    const [known, fresh] = [await storeKey({ scopes }), await storeKey({ scopes })];
    const names = new Set(await Promise.all([known, fresh].map(keyName)));
    let waiting = 0;
    const store = {
      get: (name: string) => {
        if (names.has(name)) return kv.get(name);
        waiting += 1;
        return answers.promise;
      },
    } as unknown as KVNamespace;
    const { post } = startEdge({
      env: { ...closed.env, KEYS: store, CACHE_TIMEOUT_MS: '30000' },
      platform: { now: () => clock.now },
    });
    const send = (key: string, address?: string) =>
      post(
        '/v1/embeddings',
        { text: 'a dog', kind: 'itc' },
        {
          ...bearer(key),
          ...(address !== undefined && { 'cf-connecting-ip': address }),
        },
      );
    /** So many requests with made-up keys. */
    const crowd = async (count: number, addressOf: (n: number) => string | undefined) => {
      const before = waiting;
      const sent = Array.from({ length: count }, (_, n) => send(createKey(), addressOf(n)));
      await expect.poll(() => waiting).toBeGreaterThan(before);
      return sent;
    };
    return {
      send,
      crowd,
      answer: () => answers.resolve(null),
      known,
      fresh,
      waiting: () => waiting,
    };
  }
  const statuses = async (replies: Promise<Response>[]) => {
    const all = (await Promise.all(replies)).map(({ status }) => status);
    return Object.fromEntries(
      [...new Set(all)].map((one) => [one, all.filter((s) => s === one).length]),
    );
  };

  it('one address has half of the look-ups, and a new key from another is let in', async () => {
    const clock = { now: Date.now() };
    const { send, crowd, answer, fresh, waiting } = await stuck(clock);
    const sent = await crowd(300, () => '198.51.100.81');
    await expect.poll(waiting).toBe(128);
    expect((await send(fresh, '198.51.100.82')).status).toBe(200);
    answer();
    expect(await statuses(sent)).toEqual({ 401: 128, 429: 172 });
  });

  it('from everywhere, a key that was good before has its places, however old what is remembered', async () => {
    const clock = { now: Date.now() };
    const { send, crowd, answer, known, fresh, waiting } = await stuck(clock);
    expect((await send(known, '198.51.100.83')).status).toBe(200);
    const sent = await crowd(300, (n) => `198.18.${n >> 8}.${n & 255}`);
    await expect.poll(waiting).toBe(256);
    clock.now += 10_000;
    const replies = Array.from({ length: 20 }, () => send(known, '198.51.100.83'));
    expect(await statuses(replies)).toEqual({ 200: 20 });
    answer();
    expect(await statuses(sent)).toEqual({ 401: 256, 503: 44 });
    expect((await send(fresh, '198.51.100.83')).status).toBe(200);
  });

  it('without an address they wait in order, and none is refused for what the others ask', async () => {
    const clock = { now: Date.now() };
    const { send, crowd, answer, fresh, waiting } = await stuck(clock);
    // No more at once than an instance lets in.
    const sent = await crowd(200, () => undefined);
    sent.push(...(await crowd(100, () => undefined)));
    await expect.poll(waiting).toBe(256);
    const honest = send(fresh);
    answer();
    expect((await honest).status).toBe(200);
    expect(await statuses(sent)).toEqual({ 401: 300 });
  });

  it('guesses push no key out of what is remembered', async () => {
    const clock = { now: Date.now() };
    let lookups = 0;
    const counting = {
      get: (name: string) => {
        lookups += 1;
        return kv.get(name);
      },
    } as unknown as KVNamespace;
    const store = new KeyStore({ kv: counting, now: () => clock.now, timeoutMs: 5000 });
    const key = await storeKey();
    await store.find(key, { address: 'a' });
    for (let n = 0; n < 1100; n++) await store.find(createKey(), { address: 'a' });
    lookups = 0;
    expect(await store.find(key, { address: 'a' })).not.toBeNull();
    expect(lookups).toBe(0);
  });
});

describe('a key that is read again', () => {
  /** A key that an isolate knows, and KV that answers when the test wants, with what is stored then. */
  async function renewed() {
    const clock = { now: Date.now() };
    const reads: PromiseWithResolvers<void>[] = [];
    let isHeld = false;
    const held = {
      get: async (name: string) => {
        const read = Promise.withResolvers<void>();
        reads.push(read);
        if (isHeld) await read.promise;
        return await kv.get(name);
      },
    } as unknown as KVNamespace;
    const store = new KeyStore({ kv: held, now: () => clock.now, timeoutMs: 5000 });
    const key = await storeKey();
    expect(await store.find(key, { address: 'a' })).not.toBeNull();
    isHeld = true;
    return { clock, reads, store, key };
  }

  it('is read once, however many requests of it come meanwhile', async () => {
    const { clock, reads, store, key } = await renewed();
    clock.now += 10_000;
    const first = store.find(key, { address: 'a' });
    await expect.poll(() => reads.length).toBe(2);
    const others = Array.from({ length: 300 }, () => store.find(key, { address: 'a' }));
    expect((await Promise.all(others)).every((record) => record !== null)).toBe(true);
    expect(reads).toHaveLength(2);
    reads[1]?.resolve();
    expect(await first).not.toBeNull();
  });

  it.each([
    ['after a while without any', 30_000],
    ['from its first one on', undefined],
  ])('is read once for hundreds of requests that come together %s', async (_, idleMs) => {
    const { clock, reads, store, key: before } = await renewed();
    clock.now += idleMs ?? 0;
    const key = idleMs === undefined ? await storeKey() : before;
    const all = Array.from({ length: 300 }, () => store.find(key, { address: 'a' }));
    await expect.poll(() => reads.length).toBe(2);
    reads[1]?.resolve();
    expect((await Promise.all(all)).every((record) => record !== null)).toBe(true);
    expect(reads).toHaveLength(2);
  });

  it('is read by one that follows where the client of the first leaves before its turn', async () => {
    const answers = Promise.withResolvers<null>();
    let stuck = 0;
    const key = await storeKey();
    const name = await keyName(key);
    const held = {
      get: (asked: string) => {
        if (asked === name) return kv.get(asked);
        stuck++;
        return answers.promise;
      },
    } as unknown as KVNamespace;
    const store = new KeyStore({ kv: held, now: Date.now, timeoutMs: 30_000 });
    const others = Array.from({ length: 256 }, () => store.find(createKey(), {}));
    await expect.poll(() => stuck).toBe(256);
    const client = new AbortController();
    const first = store.find(key, { signal: client.signal });
    const refused = expect(first).rejects.toMatchObject({ slug: 'overloaded' });
    const follower = store.find(key, {});
    client.abort();
    await refused;
    answers.resolve(null);
    expect(await follower).not.toBeNull();
    await Promise.all(others);
  });

  it('is believed for ten seconds more at most, and not once it turns out to be revoked', async () => {
    const { clock, reads, store, key } = await renewed();
    await kv.delete(await keyName(key));
    clock.now += 19_999;
    const first = store.find(key, { address: 'a' });
    await expect.poll(() => reads.length).toBe(2);
    expect(await store.find(key, { address: 'a' })).not.toBeNull();
    clock.now += 1;
    // Too old to be believed: it waits for what the first reads.
    const late = store.find(key, { address: 'a' });
    reads[1]?.resolve();
    expect(await first).toBeNull();
    expect(await late).toBeNull();
    expect(await store.find(key, { address: 'a' })).toBeNull();
    expect(reads).toHaveLength(2);
  });

  it('is read by another where the first was stopped', async () => {
    const { clock, reads, store, key } = await renewed();
    clock.now += 10_000;
    store.find(key, { address: 'a' }).catch(() => {});
    await expect.poll(() => reads.length).toBe(2);
    clock.now += 5000;
    const next = store.find(key, { address: 'a' });
    await expect.poll(() => reads.length).toBe(3);
    for (const { resolve } of reads) resolve();
    expect(await next).not.toBeNull();
  });
});
