/** Limits of callers as they meet them, counted by real Durable Objects. */

import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { createKey, type KeyLimits, keyName } from '@blip2/shared/api-key';
import type { UsageReply } from '@blip2/shared/schemas/usage';
import { describe, expect, it } from 'vitest';
import { eventsOf, newImage, startEdge, type TestSetup, testEnv } from '../testing/edge.ts';
import type { CallerLimits } from './caller-limits.ts';
import type { CallerObjects } from './limiter.ts';

const kv = testEnv.KEYS as KVNamespace;
const objects = testEnv.LIMITS as CallerObjects;

let serial = 0;

/** A replay costs nothing: what is asked here again is generated again. */
const WITHOUT_REPLIES = { REPLY_TTL_HOURS: '0' };

/** Somebody who has not called before. */
const newAddress = () => ({ 'cf-connecting-ip': `203.0.${++serial >> 8}.${serial & 255}` });
const objectOf = (address: { 'cf-connecting-ip': string }) =>
  objects.getByName(`address/${address['cf-connecting-ip']}`);

type Vars = Partial<
  Record<'REQUESTS_PER_MINUTE' | 'TOKENS_PER_MINUTE' | 'IMAGES_PER_DAY' | 'OPEN_STREAMS', string>
>;

/** An edge that is open, with these limits of an address. */
function limited(vars: Vars, setup: TestSetup = {}) {
  const anonymous = Object.entries(vars).map(([name, value]) => [`ANONYMOUS_${name}`, value]);
  return startEdge({
    ...setup,
    env: { ...WITHOUT_REPLIES, ...Object.fromEntries(anonymous), ...setup.env },
  });
}

async function storeKey(limits?: KeyLimits) {
  const key = createKey();
  const scopes = ['text', 'openai', 'embeddings'];
  const record = { name: 'test', scopes, created_at: Date.now(), ...(limits && { limits }) };
  const name = await keyName(key);
  await kv.put(name, JSON.stringify(record));
  return { headers: { authorization: `Bearer ${key}` }, object: objects.getByName(name) };
}

const setClock = (object: DurableObjectStub<CallerLimits>, now: number) =>
  runInDurableObject(object, (instance: CallerLimits) => {
    instance.clock.now = () => now;
  });

/** What one caption takes: image positions, prompt, and what the fake writes of ` a red dog\n`. */
async function tokensOfCaption(): Promise<{ prompt: number; generated: number }> {
  const { post } = startEdge();
  const { usage } = (await (await post('/v1/captions', newImage())).json()) as {
    usage: { prompt_tokens: number; completion_tokens: number };
  };
  return { prompt: usage.prompt_tokens, generated: usage.completion_tokens };
}

const dataUrl = () => `data:image/png;base64,${newImage().toBase64()}`;
const chat = (stream = false) => ({
  model: 'blip2-scenes',
  messages: [
    {
      role: 'user',
      content: [
        { type: 'text', text: 'what is it?' },
        { type: 'image_url', image_url: { url: dataUrl() } },
      ],
    },
  ],
  stream,
});

describe('requests a minute', () => {
  it('are counted exactly, however many come at once', async () => {
    const { post, gpu } = limited({ REQUESTS_PER_MINUTE: '5' });
    const caller = newAddress();
    const replies = await Promise.all(
      Array.from({ length: 12 }, () => post('/v1/captions', newImage(), caller)),
    );
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(5);
    expect(replies.filter(({ status }) => status === 429)).toHaveLength(7);
    expect(gpu.received).toHaveLength(5);
  });

  it('say what is left, and when there is more', async () => {
    const { post } = limited({ REQUESTS_PER_MINUTE: '2' });
    const caller = newAddress();
    const first = await post('/v1/captions', newImage(), caller);
    expect(first.headers.get('ratelimit-policy')).toBe('"requests";q=2;w=60');
    expect(first.headers.get('ratelimit')).toMatch(/^"requests";r=1;t=6[01]$/);
    await post('/v1/captions', newImage(), caller);
    const refused = await post('/v1/captions', newImage(), caller);
    expect(refused.status).toBe(429);
    const wait = Number(refused.headers.get('retry-after'));
    expect(wait).toBeGreaterThan(50);
    expect(refused.headers.get('ratelimit')).toBe(`"requests";r=0;t=${wait}`);
    expect(Math.ceil(Number(refused.headers.get('retry-after-ms')) / 1000)).toBe(wait);
    expect(await refused.json()).toMatchObject({
      type: '/problems/quota-exceeded',
      detail: expect.stringContaining('This address may send 2 requests a minute'),
      limit: 2,
      retry_after: wait,
    });
  });

  it('are there again after Retry-After, and not a second before', async () => {
    let now = Date.UTC(2030, 0, 1, 12);
    const caller = newAddress();
    const { post } = limited({ REQUESTS_PER_MINUTE: '1' }, { platform: { now: () => now } });
    const at = async (time: number) => {
      now = time;
      await setClock(objectOf(caller), time);
      return await post('/v1/captions', newImage(), caller);
    };
    const start = now + 400;
    expect((await at(start)).status).toBe(200);
    const refused = await at(start);
    const wait = Number(refused.headers.get('retry-after-ms'));
    expect((await at(start + wait - 1)).status).toBe(429);
    expect((await at(start + wait)).status).toBe(200);
  });

  it('are refused before the body is read', async () => {
    const { post, request } = limited({ REQUESTS_PER_MINUTE: '1' });
    const caller = newAddress();
    await post('/v1/captions', newImage(), caller);
    const endless = new ReadableStream({ pull: () => new Promise(() => {}) });
    const init = { method: 'POST', headers: caller, body: endless };
    expect((await request('/v1/captions', init)).status).toBe(429);
  });

  it('are counted where the request is wrong, and for each route that needs a key', async () => {
    const { post, request } = limited({ REQUESTS_PER_MINUTE: '3' });
    const caller = newAddress();
    const wrong = await post('/v1/captions', { image: 3 }, caller);
    expect(wrong.status).toBe(400);
    expect(wrong.headers.get('ratelimit')).toContain('r=2');
    expect((await request('/v1/models', { headers: caller })).status).toBe(200);
    expect((await request(`/v1/embeddings/${'0'.repeat(64)}`, { headers: caller })).status).toBe(
      404,
    );
    expect((await request('/v1/models', { headers: caller })).status).toBe(429);
    for (const path of ['/healthz', '/openapi.json', '/', '/v1/usage']) {
      const reply = await request(path, { headers: caller });
      expect(reply.status).toBe(200);
      await reply.body?.cancel();
    }
  });

  it('are of one address, of IPv6 by its /64', async () => {
    const { request } = limited({ REQUESTS_PER_MINUTE: '1' });
    const from = async (address: string) =>
      (await request('/v1/models', { headers: { 'cf-connecting-ip': address } })).status;
    expect(await from('2001:db8:0:1::1')).toBe(200);
    expect(await from('2001:db8:0:1:ffff::2')).toBe(429);
    expect(await from('2001:db8:0:2::1')).toBe(200);
  });

  it('ask the object once, and not again before there is more', async () => {
    let asked = 0;
    const counting = {
      getByName: (name: string) => {
        const stub = objects.getByName(name);
        return {
          admit: (...args: Parameters<typeof stub.admit>) => {
            asked += 1;
            return stub.admit(...args);
          },
        };
      },
    } as unknown as CallerObjects;
    const { request } = limited({ REQUESTS_PER_MINUTE: '1' }, { env: { LIMITS: counting } });
    const headers = newAddress();
    for (let n = 0; n < 20; n++) await request('/v1/models', { headers });
    expect(asked).toBe(2);
  });
});

describe('a look-up of many embeddings', () => {
  const hashes = (count: number) => ({
    sha256: Array.from({ length: count }, (_, i) => i.toString(16).padStart(64, '0')),
  });
  const lookup = async (
    { post }: ReturnType<typeof limited>,
    count: number,
    caller: Record<string, string>,
  ) => {
    const reply = await post('/v1/embeddings/lookup', hashes(count), caller);
    const [, left] = /"requests";r=(\d+)/.exec(reply.headers.get('ratelimit') ?? '') ?? [];
    return { status: reply.status, left: Number(left), text: await reply.text() };
  };

  it('is as many requests as it begins hundreds of hashes', async () => {
    const edge = limited({ REQUESTS_PER_MINUTE: '13' });
    const caller = newAddress();
    expect((await lookup(edge, 1, caller)).left).toBe(12);
    expect((await lookup(edge, 100, caller)).left).toBe(11);
    expect((await lookup(edge, 101, caller)).left).toBe(9);
    expect((await lookup(edge, 801, caller)).left).toBe(0);
    expect((await lookup(edge, 1, caller)).status).toBe(429);
    const [day] = await today(edge, caller);
    expect(day?.requests).toBe(13);
  });

  it('that is more than there are is refused before anything is looked up', async () => {
    const edge = limited({ REQUESTS_PER_MINUTE: '5' });
    const caller = newAddress();
    const refused = await lookup(edge, 1000, caller);
    expect([refused.status, refused.left]).toEqual([429, 4]);
    expect(refused.text).toContain('counts as 10');
    expect((await lookup(edge, 400, caller)).status).toBe(200);
  });

  it('that is more than there ever are is not to be waited for, whoever was refused before', async () => {
    const edge = limited({ REQUESTS_PER_MINUTE: '8' });
    const caller = newAddress();
    expect((await lookup(edge, 600, caller)).left).toBe(2);
    expect((await lookup(edge, 400, caller)).text).toContain('try again in');
    expect((await lookup(edge, 1000, caller)).text).toContain('counts as 10');
  });
});

const today = async (
  { request }: ReturnType<typeof limited>,
  headers: Record<string, string>,
): Promise<UsageReply['days']> =>
  ((await (await request('/v1/usage', { headers })).json()) as UsageReply).days;

describe('tokens a minute', () => {
  it('are those of prompt and reply, and what was reserved for more is there again', async () => {
    const { prompt, generated } = await tokensOfCaption();
    const { post, settled } = limited({ TOKENS_PER_MINUTE: '1000' });
    const caller = newAddress();
    const reply = await post('/v1/captions', newImage(), caller);
    await settled();
    const reserved = Number(/"tokens";r=(\d+)/.exec(reply.headers.get('ratelimit') ?? '')?.[1]);
    expect(reserved).toBeLessThan(1000 - prompt - generated);
    const next = await post('/v1/captions?max_tokens=1', newImage(), caller);
    await settled();
    expect(next.headers.get('ratelimit')).toContain(
      `"tokens";r=${1000 - (prompt + generated) - (prompt + 1)};`,
    );
  });

  it('are not overshot by requests that come at once', async () => {
    const { prompt } = await tokensOfCaption();
    const { post, gpu } = limited({ TOKENS_PER_MINUTE: String(3 * (prompt + 4)) });
    const { promise: go, resolve } = Promise.withResolvers<void>();
    gpu.script.start = go;
    const caller = newAddress();
    const replies = Array.from({ length: 8 }, () =>
      post('/v1/captions?max_tokens=4', newImage(), caller),
    );
    await gpu.untilReceived(3);
    resolve();
    const statuses = (await Promise.all(replies)).map(({ status }) => status).toSorted();
    expect(statuses).toEqual([200, 200, 200, 429, 429, 429, 429, 429]);
    expect(gpu.received).toHaveLength(3);
  });

  it('are there again as soon as other work of the caller ends, whatever was said before', async () => {
    const { prompt } = await tokensOfCaption();
    const { post, gpu, settled } = limited({ TOKENS_PER_MINUTE: String(2 * prompt + 30) });
    const { promise: go, resolve } = Promise.withResolvers<void>();
    gpu.script.start = go;
    const caller = newAddress();
    const first = post('/v1/captions?max_tokens=30', newImage(), caller);
    await gpu.untilReceived(1);
    const refused = await post('/v1/captions?max_tokens=8', newImage(), caller);
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '1']);
    resolve();
    expect((await first).status).toBe(200);
    await settled();
    expect((await post('/v1/captions?max_tokens=8', newImage(), caller)).status).toBe(200);
  });

  it('are given to nobody who may need more than there ever are, and it is said how to need fewer', async () => {
    const { post, gpu } = limited({ TOKENS_PER_MINUTE: '100' });
    const refused = await post(
      '/v1/captions?max_tokens=50&n=8&temperature=1',
      newImage(),
      newAddress(),
    );
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBeNull();
    expect(refused.headers.get('x-should-retry')).toBe('false');
    expect(await refused.json()).toMatchObject({
      detail: expect.stringContaining('max_tokens'),
      limit: 100,
    });
    expect(gpu.received).toHaveLength(0);
  });

  it('that never suffice are not to be waited for, whoever was refused before', async () => {
    const { prompt } = await tokensOfCaption();
    const { post, settled } = limited({ TOKENS_PER_MINUTE: String(2 * prompt) });
    const caller = newAddress();
    expect((await post('/v1/captions?max_tokens=4', newImage(), caller)).status).toBe(200);
    await settled();
    const most = prompt - 1;
    const passing = await post(`/v1/captions?max_tokens=${most}`, newImage(), caller);
    expect([passing.status, Number(passing.headers.get('retry-after')) > 1]).toEqual([429, true]);
    for (const stream of [false, true]) {
      const query = `max_tokens=${most}&n=8&temperature=1&stream=${stream}`;
      const refused = await post(`/v1/captions?${query}`, newImage(), caller);
      expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, null]);
      expect(refused.headers.get('x-should-retry')).toBe('false');
      expect(await refused.json()).toMatchObject({
        detail: expect.stringContaining('lower max_tokens'),
      });
    }
  });

  it('fetch no image where there are too few', async () => {
    const { post, gpu } = limited({ TOKENS_PER_MINUTE: '100' });
    let fetched = 0;
    gpu.web.set('http://images.test/a.png', () => {
      fetched += 1;
      return new Response(newImage());
    });
    const body = { image: { url: 'http://images.test/a.png' }, max_tokens: 100 };
    expect((await post('/v1/captions', body, newAddress())).status).toBe(429);
    expect(fetched).toBe(0);
  });

  it('cost nothing where the GPU worker fails', async () => {
    const { post, gpu, settled } = limited({ TOKENS_PER_MINUTE: '1000', IMAGES_PER_DAY: '1' });
    const caller = newAddress();
    gpu.script.isGone = true;
    for (let n = 0; n < 3; n++) {
      expect((await post('/v1/captions', newImage(), caller)).status).toBe(503);
      await settled();
    }
    gpu.script.isGone = false;
    expect((await post('/v1/captions', newImage(), caller)).status).toBe(200);
  });
});

describe('images a day', () => {
  it('are those that are encoded: what is cached costs none', async () => {
    const { post, gpu, settled } = limited({ IMAGES_PER_DAY: '1' });
    const caller = newAddress();
    const image = newImage();
    expect((await post('/v1/captions', image, caller)).status).toBe(200);
    await settled();
    expect((await post('/v1/captions', image, caller)).status).toBe(200);
    const refused = await post('/v1/captions', newImage(), caller);
    expect(refused.status).toBe(429);
    expect(await refused.json()).toMatchObject({ detail: expect.stringContaining('1 new image ') });
    expect(refused.headers.get('x-should-retry')).toBe('false');
    expect((await post('/v1/captions', image, caller)).status).toBe(200);
    expect(gpu.received).toHaveLength(3);
  });

  it('begin anew at midnight in UTC', async () => {
    let now = Date.UTC(2030, 0, 1, 23, 59, 59);
    const caller = newAddress();
    const { post, settled } = limited({ IMAGES_PER_DAY: '1' }, { platform: { now: () => now } });
    const caption = async () => {
      await setClock(objectOf(caller), now);
      const { status, headers } = await post('/v1/captions', newImage(), caller);
      await settled();
      return [status, headers.get('retry-after')];
    };
    expect(await caption()).toEqual([200, null]);
    expect(await caption()).toEqual([429, '1']);
    now += 1000;
    expect(await caption()).toEqual([200, null]);
  });
});

describe('open streams', () => {
  const stream = { accept: 'text/event-stream' };

  it('are bounded, and a stream that ends, fails or is left frees its place', async () => {
    const { post, gpu, settled } = limited({ OPEN_STREAMS: '1' });
    const caller = { ...newAddress(), ...stream };
    const image = newImage();
    await eventsOf(await post('/v1/captions', image, caller));
    await settled();

    const first = Promise.withResolvers<void>();
    gpu.script.token = () => first.promise;
    const open = await post('/v1/captions', image, caller);
    expect(open.status).toBe(200);
    const refused = await post('/v1/captions', image, caller);
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBe('1');
    expect(refused.headers.get('ratelimit')).toBe('"streams";r=0;t=1');
    // A reply that is no stream needs no place.
    gpu.script.token = () => Promise.resolve();
    expect((await post('/v1/captions', image, { ...caller, accept: '*/*' })).status).toBe(200);

    first.resolve();
    await eventsOf(open);
    await settled();
    gpu.script.breakOff = true;
    expect((await eventsOf(await post('/v1/captions', image, caller))).at(-1)?.event).toBe('error');
    await settled();

    gpu.script.breakOff = false;
    gpu.script.token = () => new Promise(() => {});
    const left = await post('/v1/captions', image, caller);
    expect(left.status).toBe(200);
    await left.body?.cancel();
    await gpu.untilCanceled(1);
    await settled();
    gpu.script.token = () => Promise.resolve();
    expect((await post('/v1/captions', image, caller)).status).toBe(200);
  });

  it('of an isolate that died free their places at their deadline', async () => {
    const caller = newAddress();
    const object = objectOf(caller);
    const limits = { requests: null, tokens: 100, images: null, streams: 1 };
    const ask = { tokens: 10, images: 0, isStream: true, leaseMs: 5000 };
    const start = Date.UTC(2030, 0, 1);
    await setClock(object, start);
    expect((await object.charge(limits, ask, 'a')).refusal).toBeNull();
    expect((await object.charge(limits, ask, 'b')).refusal?.policy).toBe('streams');
    await setClock(object, start + 5000);
    expect((await object.charge(limits, ask, 'c')).refusal).toBeNull();
  });
});

describe('a key', () => {
  it('has limits of its own in place of those of all keys', async () => {
    const { request } = startEdge({ env: { ALLOW_ANONYMOUS: '', REQUESTS_PER_MINUTE: '1' } });
    const status = async (headers: Record<string, string>) =>
      (await request('/v1/models', { headers })).status;
    const [common, wide, free] = [
      await storeKey(),
      await storeKey({ requests_per_minute: 2 }),
      await storeKey({ requests_per_minute: null }),
    ];
    expect([await status(common.headers), await status(common.headers)]).toEqual([200, 429]);
    for (const expected of [200, 200, 429]) expect(await status(wide.headers)).toBe(expected);
    for (let n = 0; n < 4; n++) expect(await status(free.headers)).toBe(200);
  });

  it('reads its use by day and what is left, also where nothing is limited', async () => {
    const { post, request, settled } = startEdge({
      env: { ...WITHOUT_REPLIES, ALLOW_ANONYMOUS: '' },
    });
    const { headers } = await storeKey();
    const image = newImage();
    const used = { prompt_tokens: 0, completion_tokens: 0 };
    for (let n = 0; n < 2; n++) {
      const reply = await post('/v1/captions', image, headers);
      const { usage } = (await reply.json()) as { usage: typeof used };
      used.prompt_tokens += usage.prompt_tokens;
      used.completion_tokens += usage.completion_tokens;
      expect(reply.headers.get('ratelimit')).toBeNull();
      await settled();
    }
    const reply = (await (await request('/v1/usage', { headers })).json()) as UsageReply;
    expect(reply).toEqual({
      caller: 'key',
      name: 'test',
      limits: {
        requests_per_minute: null,
        tokens_per_minute: null,
        images_per_day: null,
        open_streams: null,
      },
      days: [{ date: expect.stringMatching(/^\d{4}-\d\d-\d\d$/), requests: 2, ...used, images: 1 }],
    });
  });

  it('reads its use when it is out of requests, with any scope', async () => {
    const { request } = startEdge({ env: { ALLOW_ANONYMOUS: '' } });
    const { headers } = await storeKey({ requests_per_minute: 1, open_streams: 3 });
    expect((await request('/v1/usage')).status).toBe(401);
    await request('/v1/models', { headers });
    expect((await request('/v1/models', { headers })).status).toBe(429);
    const { limits } = (await (await request('/v1/usage', { headers })).json()) as UsageReply;
    expect(limits).toMatchObject({
      requests_per_minute: { limit: 1, remaining: 0 },
      open_streams: { limit: 3, remaining: 3, reset_after: 0 },
      tokens_per_minute: null,
    });
  });

  it('loses nothing when its object is evicted', async () => {
    const { request, post, settled } = startEdge({ env: { ALLOW_ANONYMOUS: '' } });
    const { headers, object } = await storeKey({ requests_per_minute: 1 });
    expect((await post('/v1/captions', newImage(), headers)).status).toBe(200);
    await settled();
    await object.flush();
    await evictDurableObject(object);
    const { days } = (await (await request('/v1/usage', { headers })).json()) as UsageReply;
    expect(days).toMatchObject([{ requests: 1, images: 1 }]);
    expect(
      (await startEdge({ env: { ALLOW_ANONYMOUS: '' } }).request('/v1/models', { headers })).status,
    ).toBe(429);
  });
});

it('leaves nothing stored of an address that did not come again by the next day', async () => {
  const { request } = limited({ REQUESTS_PER_MINUTE: '9' });
  const headers = newAddress();
  await request('/v1/models', { headers });
  const object = objectOf(headers);
  await object.flush();
  const stored = () =>
    runInDurableObject(object, async (_, { storage }) => (await storage.list()).size);
  expect(await stored()).toBe(1);
  await runDurableObjectAlarm(object);
  expect(await stored()).toBe(1);
  await setClock(object, Date.now() + 86_400_000);
  await runDurableObjectAlarm(object);
  expect(await stored()).toBe(0);
});

describe('a caller without limits', () => {
  it('asks no object', async () => {
    const none = {
      getByName: () => {
        throw new Error('asked');
      },
    } as unknown as CallerObjects;
    const { post, request } = startEdge({ env: { LIMITS: none } });
    expect((await post('/v1/captions', newImage(), newAddress())).status).toBe(200);
    expect(await (await request('/v1/usage', { headers: newAddress() })).json()).toMatchObject({
      caller: 'address',
      days: [],
    });
  });

  it('needs no binding; one with limits gets an error that says what to bind', async () => {
    const without = { env: { LIMITS: undefined as never } };
    expect((await startEdge(without).post('/v1/captions', newImage())).status).toBe(200);
    const reply = await limited({ OPEN_STREAMS: '2' }, without).post('/v1/captions', newImage());
    expect(reply.status).toBe(500);
    expect(await reply.json()).toMatchObject({
      type: '/problems/not-configured',
      detail: expect.stringMatching(/CallerLimits as LIMITS/),
    });
  });
});

describe('while the object of a caller does not answer', () => {
  const broken = (admit: () => Promise<never>) =>
    ({ getByName: () => ({ admit, settle: admit }) }) as unknown as CallerObjects;
  const ways = [
    ['fails', broken(() => Promise.reject(new Error('overloaded')))],
    ['is silent', broken(() => new Promise(() => {}))],
  ] as const;

  it.each(ways)('nothing is done for it: the object %s', async (_, LIMITS) => {
    const env = { LIMITS, CACHE_TIMEOUT_MS: '20' };
    const { post, gpu, request } = limited({ REQUESTS_PER_MINUTE: '9' }, { env });
    const reply = await post('/v1/captions', newImage(), newAddress());
    expect(reply.status).toBe(503);
    expect(reply.headers.get('retry-after')).toBe('1');
    expect(await reply.json()).toMatchObject({ type: '/problems/limits-unavailable' });
    // The client of Hugging Face sends again without end what is answered with 503.
    const hub = { method: 'POST', body: newImage(), headers: newAddress() };
    expect((await request('/hf/image-to-text', hub)).status).toBe(500);
    expect(gpu.received).toHaveLength(0);
  });

  it.each(ways)('it is let in where the operator wants that: the object %s', async (_, LIMITS) => {
    const env = { LIMITS, CACHE_TIMEOUT_MS: '20', LIMITS_FAIL_OPEN: 'true' };
    const { post } = limited({ REQUESTS_PER_MINUTE: '9' }, { env });
    expect((await post('/v1/captions', newImage(), newAddress())).status).toBe(200);
  });
});

it('frees what an object took that answered too late', async () => {
  const caller = newAddress();
  const object = objectOf(caller);
  const slow = {
    getByName: () => ({
      admit: (...args: Parameters<typeof object.admit>) => object.admit(...args),
      charge: async (...args: Parameters<typeof object.charge>) => {
        await object.charge(...args);
        return await new Promise(() => {});
      },
      settle: (...args: Parameters<typeof object.settle>) => object.settle(...args),
    }),
  } as unknown as CallerObjects;
  const env = { LIMITS: slow, CACHE_TIMEOUT_MS: '300' };
  const { post, gpu, settled } = limited({ TOKENS_PER_MINUTE: '1000' }, { env });
  expect((await post('/v1/captions', newImage(), caller)).status).toBe(503);
  await settled();
  expect(gpu.received).toHaveLength(0);
  const limits = { requests: null, tokens: 1000, images: null, streams: null };
  const { standings } = await object.usage(limits);
  expect(standings.tokens).toMatchObject({ remaining: 1000 });
});

describe('429 in each dialect', () => {
  const refusedOf = async (path: string, headers: Record<string, string> = {}) => {
    const { post, request } = limited({ REQUESTS_PER_MINUTE: '1', TOKENS_PER_MINUTE: '1000' });
    const caller = newAddress();
    await request('/v1/models', { headers: caller });
    const reply = await post(path, chat(), { ...caller, ...headers });
    expect(reply.status).toBe(429);
    return { reply, body: await reply.json() };
  };
  const error = { type: 'rate_limit_error', code: 'rate_limit_exceeded' };

  it.each([
    ['/v1/chat/completions', {}],
    ['/v1/responses', {}],
    ['/v1/embeddings', { 'user-agent': 'OpenAI/JS 7.57.0' }],
  ])('of OpenAI at %s, with its headers', async (path, headers) => {
    const { reply, body } = await refusedOf(path, headers);
    expect(body).toMatchObject({ error });
    expect(Object.fromEntries(reply.headers)).toMatchObject({
      'x-ratelimit-limit-requests': '1',
      'x-ratelimit-remaining-requests': '0',
      'x-ratelimit-reset-requests': expect.stringMatching(/^(1m[01]|\d+)s$/),
      'x-ratelimit-limit-tokens': '1000',
      'x-ratelimit-remaining-tokens': '1000',
      'x-ratelimit-reset-tokens': '0s',
    });
  });

  it.each(['TOKENS_PER_MINUTE', 'IMAGES_PER_DAY'] as const)(
    'of OpenAI names no parameter: %s are none of the image',
    async (name) => {
      const { post } = limited({ [name]: '1' });
      const caller = newAddress();
      if (name === 'IMAGES_PER_DAY') await post('/v1/captions', newImage(), caller);
      const reply = await post('/v1/chat/completions', chat(), caller);
      expect([reply.status, await reply.json()]).toMatchObject([429, { error: { param: null } }]);
    },
  );

  it('of Hugging Face: a text', async () => {
    const { reply, body } = await refusedOf('/hf/image-to-text');
    expect(body).toMatchObject({ error: expect.any(String), error_type: 'quota-exceeded' });
    expect(reply.headers.get('retry-after')).toMatch(/^\d+$/);
  });

  it('of ours: a problem, without the headers of OpenAI', async () => {
    const { reply, body } = await refusedOf('/v1/answers');
    expect(body).toMatchObject({ type: '/problems/quota-exceeded' });
    expect([...reply.headers.keys()].filter((name) => name.startsWith('x-ratelimit'))).toEqual([]);
  });
});
