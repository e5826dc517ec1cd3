/** Replicate's API in workerd, with the real object of a caller: what its clients rely on, and what nobody may do. */

import { listDurableObjectIds, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { createKey, type KeyLimits, keyName } from '@blip2/shared/api-key';
import { ApiError } from '@blip2/shared/errors';
import { imageIdOf } from '@blip2/shared/image-id';
import type { ReplicateFile } from '@blip2/shared/schemas/replicate/file';
import type { Prediction, PredictionList } from '@blip2/shared/schemas/replicate/prediction';
import type { UsageReply } from '@blip2/shared/schemas/usage';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Env } from '../../platform.ts';
import { objectIdOf } from '../../predictions/ids.ts';
import { base64, newImage, startEdge, type TestEdge, testEnv } from '../../testing/edge.ts';
import { storeKey } from '../../testing/keys.ts';
import { waitSecondsOf } from './predictions.ts';

const BASE = '/replicate/v1';
const namespace = testEnv.PREDICTIONS as DurableObjectNamespace;
let edge: TestEdge;
let tests = 0;

/** Each test is a caller of its own, and so has an object of its own. */
function start(env: Partial<Env> = {}): void {
  edge = startEdge({ env: { CLIENT_ADDRESS_HEADER: 'x-address', ...env } });
}

async function request(path: string, { headers, ...init }: RequestInit = {}): Promise<Response> {
  const all = new Headers(headers);
  all.set('x-address', `2001:db8:0:${tests.toString(16)}::1`);
  return await edge.request(path, { ...init, headers: all });
}

async function post(
  path: string,
  body: object,
  headers: Record<string, string> = {},
): Promise<Response> {
  return await request(path, { method: 'POST', body: JSON.stringify(body), headers });
}

beforeEach(() => {
  tests++;
  start();
  // Objects have dependencies of their own, whose fetch is the platform's.
  vi.stubGlobal('fetch', (url: string, init?: RequestInit) => edge.gpu.fetch(url, init));
});
afterEach(() => {
  vi.unstubAllGlobals();
});

const dataUrl = (bytes = newImage()) => `data:image/png;base64,${base64(bytes)}`;

async function create(
  input: Record<string, unknown>,
  headers: Record<string, string> = {},
  path = '/predictions',
): Promise<{ status: number; body: Prediction & { detail: string; field?: string } }> {
  const response = await post(`${BASE}${path}`, { input }, headers);
  return { status: response.status, body: await response.json() };
}

const pathOf = (url: string) => url.replace('http://edge.test', '');
const get = async (url: string, headers: Record<string, string> = {}) => {
  const response = await request(pathOf(url), { headers });
  return { status: response.status, body: (await response.json()) as Prediction };
};
/** Polls as that client does, without its pauses. */
async function ended({ urls }: Prediction, headers?: Record<string, string>): Promise<Prediction> {
  for (;;) {
    const { body } = await get(urls.get, headers);
    if (body.completed_at !== null) return body;
    await scheduler.wait(1);
  }
}
const streamOf = async ({ urls }: Prediction, headers: Record<string, string> = {}) =>
  await request(pathOf(urls.stream), { headers });

/** What the object of a prediction goes on with from now on: waits until nothing is left of it. */
async function workAfter({ id }: Prediction): Promise<{ settled: () => Promise<void> }> {
  const work: Promise<unknown>[] = [];
  const object = namespace.get(objectIdOf(namespace, id) as DurableObjectId);
  await runInDurableObject(object, (_instance, state) => {
    const waitUntil = state.waitUntil.bind(state);
    state.waitUntil = (promise) => {
      work.push(promise);
      waitUntil(promise);
    };
  });
  return {
    settled: async () => {
      expect(work).not.toHaveLength(0);
      await runInDurableObject(object, async () => {
        while (work.length > 0) await Promise.allSettled(work.splice(0));
      });
    },
  };
}

/** Ids that the table of the object of a prediction has. */
async function storedBeside({ id }: Prediction): Promise<string[]> {
  const object = namespace.get(objectIdOf(namespace, id) as DurableObjectId);
  return await runInDurableObject(object, (_, { storage }) => {
    const rows = storage.sql.exec<{ id: string }>('SELECT id FROM predictions ORDER BY number');
    return rows.toArray().map((row) => row.id);
  });
}

describe('a prediction', () => {
  it('goes on without anybody who waits, and is polled', async () => {
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.token = () => gate.promise;
    const image = newImage();
    const { status, body } = await create({ image: dataUrl(image), question: 'what is it?' });
    expect(status).toBe(201);
    expect(body).toMatchObject({
      status: 'starting',
      output: null,
      error: null,
      input: { image: await imageIdOf(image), question: 'what is it?' },
    });
    await edge.gpu.untilReceived(1);
    gate.resolve();
    expect(await ended(body)).toMatchObject({
      id: body.id,
      status: 'succeeded',
      output: 'a red dog',
      metrics: { predict_time: expect.any(Number), total_time: expect.any(Number) },
    });
  });

  it('is waited for with Prefer: wait', async () => {
    const { status, body } = await create({ image: dataUrl() }, { prefer: 'wait' });
    expect([status, body.status, body.output]).toEqual([201, 'succeeded', 'a red dog']);
  });

  it('says starting where the wait was too short, though it is processing', async () => {
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.token = () => gate.promise;
    const { status, body } = await create({ image: dataUrl() }, { prefer: 'wait=1' });
    expect([status, body.status]).toEqual([202, 'starting']);
    expect((await get(body.urls.get)).body.status).toBe('processing');
    gate.resolve();
    expect((await ended(body)).output).toBe('a red dog');
  });

  it('is canceled, which ends the work', async () => {
    edge.gpu.script.token = () => new Promise(() => {});
    const { body } = await create({ image: dataUrl() });
    await edge.gpu.untilReceived(1);
    const canceled = await post(pathOf(body.urls.cancel), {});
    expect(await canceled.json()).toMatchObject({ id: body.id, status: 'canceled', output: null });
    await edge.gpu.untilCanceled(1);
    expect((await get(body.urls.get)).body.status).toBe('canceled');
    const again = await post(pathOf(body.urls.cancel), {});
    expect(((await again.json()) as Prediction).status).toBe('canceled');
  });

  it('is listed, and stored, while somebody waits for it, in its place', async () => {
    start({ ALLOW_ANONYMOUS: '' });
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.token = () => gate.promise;
    const key = await storeKey();
    const waiting = create({ image: dataUrl() }, { ...key, prefer: 'wait' });
    await edge.gpu.untilReceived(1);
    const later = await create({ image: dataUrl() }, key);
    const list = async () =>
      (await (await request(`${BASE}/predictions`, { headers: key })).json()) as PredictionList;
    const [second, first] = (await list()).results;
    expect([second?.id, first?.completed_at]).toEqual([later.body.id, null]);
    gate.resolve();
    const { body } = await waiting;
    expect(body).toMatchObject({ id: first?.id, status: 'succeeded' });
    expect((await get(body.urls.get, key)).body).toEqual(body);
    expect((await list()).results.map(({ id }) => id)).toEqual([later.body.id, body.id]);
  });

  it('that somebody waits for outlasts the alarm that deletes all others', async () => {
    vi.setSystemTime(Date.now() - 3_600_000);
    const { body: old } = await create({ image: dataUrl() }, { prefer: 'wait' });
    vi.useRealTimers();
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.token = () => gate.promise;
    const waiting = create({ image: dataUrl() }, { prefer: 'wait' });
    await edge.gpu.untilReceived(2);
    const stub = namespace.get(objectIdOf(namespace, old.id) as DurableObjectId);
    expect(await runDurableObjectAlarm(stub)).toBe(true);
    gate.resolve();
    const { body } = await waiting;
    expect(body.status).toBe('succeeded');
    await vi.waitFor(async () => expect(await storedBeside(body)).toEqual([body.id]));
  });

  describe('that somebody waited for', () => {
    const WAIT = { prefer: 'wait' };

    /** Holds what is done behind replies until it is let go. */
    function holdBack(): () => void {
      let isHeld = true;
      const wait = scheduler.wait.bind(scheduler);
      vi.spyOn(scheduler, 'wait').mockImplementation(async (ms, options) => {
        // By the object itself: it may not go on with what somebody else resolves.
        while (ms === 0 && isHeld) await wait(5);
        await wait(ms, options);
      });
      return () => {
        isHeld = false;
      };
    }

    afterEach(() => {
      vi.restoreAllMocks();
      vi.useRealTimers();
    });

    it('is stored behind its reply, and read from memory until then', async () => {
      const letGo = holdBack();
      const { body } = await create({ image: dataUrl() }, WAIT);
      expect(body.status).toBe('succeeded');
      expect(await storedBeside(body)).toEqual([]);
      expect((await get(body.urls.get)).body).toEqual(body);
      letGo();
      await expect.poll(() => storedBeside(body)).toEqual([body.id]);
    });

    it('is not stored when its image is deleted first', async () => {
      start({ ALLOW_ANONYMOUS_DELETE: 'true' });
      const letGo = holdBack();
      const image = newImage();
      const { body } = await create({ image: dataUrl(image) }, WAIT);
      const after = await workAfter((await create({ image: dataUrl() }, WAIT)).body);
      await request(`/v1/images/${await imageIdOf(image)}`, { method: 'DELETE' });
      letGo();
      const { body: next } = await create({ image: dataUrl() }, WAIT);
      await after.settled();
      expect(await storedBeside(next)).not.toContain(body.id);
      expect((await get(body.urls.get)).status).toBe(404);
    });

    it('and cannot be stored is gone after seconds, and harms nothing else', async () => {
      vi.spyOn(console, 'warn').mockImplementation(() => {});
      const { body: first } = await create({ image: dataUrl() }, WAIT);
      await expect.poll(() => storedBeside(first)).toEqual([first.id]);
      const object = namespace.get(objectIdOf(namespace, first.id) as DurableObjectId);
      await runInDurableObject(object, (_, { storage }) => {
        storage.sql.exec(
          "CREATE TRIGGER full BEFORE INSERT ON predictions BEGIN SELECT RAISE(ABORT, 'full'); END",
        );
      });
      const { body } = await create({ image: dataUrl() }, WAIT);
      expect(body.status).toBe('succeeded');
      expect((await get(body.urls.get)).body).toEqual(body);
      vi.setSystemTime(Date.now() + 6000);
      expect((await get(body.urls.get)).status).toBe(404);
      expect((await get(first.urls.get)).body).toEqual(first);
      expect((await create({ image: dataUrl() }, WAIT)).body.status).toBe('succeeded');
      expect(await runDurableObjectAlarm(object)).toBe(true);
    });
  });

  it('whose image has an address that is too long for its row is refused', async () => {
    const file = `http://localhost/replicate/v1/files/${'0'.repeat(96)}`;
    for (const image of [
      `https://example.com/${'a'.repeat(9000)}`,
      `${file}?${'a'.repeat(9000)}`,
    ]) {
      const { status, body } = await create({ image }, { prefer: 'wait' });
      expect([status, body.field]).toEqual([422, 'input.image']);
      expect(body.detail).toContain('at most 8192');
    }
  });

  it('that somebody else still waits for is stored for whoever gets its id meanwhile, who cannot end it', async () => {
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.token = () => gate.promise;
    const input = { image: dataUrl() };
    const waiting = create(input, { prefer: 'wait' });
    await edge.gpu.untilReceived(1);
    const { body } = await create(input);
    expect(await storedBeside(body)).toEqual([body.id]);
    for (let i = 0; i < 2; i++) await post(pathOf(body.urls.cancel), {});
    expect((await get(body.urls.get)).body.completed_at).toBeNull();
    gate.resolve();
    expect((await waiting).body).toMatchObject({ id: body.id, status: 'succeeded' });
  });

  it('is another without a key where it was sent longer ago than clients send again', async () => {
    edge.gpu.script.token = () => new Promise(() => {});
    const input = { image: dataUrl() };
    const first = await create(input);
    expect((await create(input)).body.id).toBe(first.body.id);
    const now = Date.now();
    vi.spyOn(Date, 'now').mockReturnValue(now + 6000);
    try {
      const second = await create(input);
      expect(second.body.id).not.toBe(first.body.id);
      await post(pathOf(second.body.urls.cancel), {});
      expect((await get(first.body.urls.get)).body.completed_at).toBeNull();
      await post(pathOf(first.body.urls.cancel), {});
    } finally {
      vi.restoreAllMocks();
    }
  });

  it('whose client leaves while it waits ends, unless somebody asks for it again', async () => {
    edge.gpu.script.token = () => new Promise(() => {});
    const body = JSON.stringify({ input: { image: dataUrl() } });
    const waitAndLeave = async () => {
      const received = edge.gpu.received.length;
      const leaving = new AbortController();
      const waiting = request(`${BASE}/predictions`, {
        method: 'POST',
        body,
        headers: { prefer: 'wait' },
        signal: leaving.signal,
      });
      // Not by its event, after which a test goes on in the place of the object.
      while (edge.gpu.received.length === received) await scheduler.wait(1);
      leaving.abort();
      return (await (await waiting).json()) as Prediction;
    };
    const { id, urls } = await waitAndLeave();
    const again = await request(`${BASE}/predictions`, {
      method: 'POST',
      body,
      headers: { prefer: 'wait=2' },
    });
    expect([again.status, await again.json()]).toMatchObject([202, { id, status: 'starting' }]);
    await post(pathOf(urls.cancel), {});
    const other = await waitAndLeave();
    expect(other.id).not.toBe(id);
    await edge.gpu.untilCanceled(2);
    expect((await get(other.urls.get)).body.status).toBe('canceled');
  });

  it('goes on when somebody leaves who sent it again, and waited', async () => {
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.token = () => gate.promise;
    const body = JSON.stringify({ input: { image: dataUrl() } });
    const first = (await (
      await request(`${BASE}/predictions`, { method: 'POST', body })
    ).json()) as Prediction;
    await edge.gpu.untilReceived(1);
    const leaving = new AbortController();
    const waiting = request(`${BASE}/predictions`, {
      method: 'POST',
      body,
      headers: { prefer: 'wait' },
      signal: leaving.signal,
    });
    await scheduler.wait(50);
    leaving.abort();
    expect(await (await waiting).json()).toMatchObject({ id: first.id });
    // Longer than one that is abandoned goes on.
    await scheduler.wait(1200);
    gate.resolve();
    expect((await ended(first)).status).toBe('succeeded');
  });

  it('that fails says why in a text', async () => {
    edge.gpu.script.refuse = new ApiError('invalid-image', 'image: is cut off.', {
      field: 'image',
    });
    const { status, body } = await create({ image: dataUrl() }, { prefer: 'wait' });
    expect([status, body.status, body.error]).toEqual([201, 'failed', 'image: is cut off.']);
  });

  it('waits for a place in the queue in place of its client', async () => {
    edge.gpu.script.refuse = new ApiError('too-many-requests', 'Busy.', { retry_after: 0 });
    const { body } = await create({ image: dataUrl() });
    await edge.gpu.untilReceived(2);
    expect((await get(body.urls.get)).body.status).toBe('starting');
    edge.gpu.script.refuse = null;
    expect((await ended(body)).status).toBe('succeeded');
  });

  it('that waits while its image is deleted leaves nothing of it behind', async () => {
    start({ ALLOW_ANONYMOUS_DELETE: 'true' });
    edge.gpu.script.refuse = new ApiError('too-many-requests', 'Busy.', { retry_after: 0 });
    const image = newImage();
    const { body } = await create({ image: dataUrl(image) });
    await edge.gpu.untilReceived(2);
    const after = await workAfter(body);
    const path = `/v1/images/${await imageIdOf(image)}`;
    expect((await request(path, { method: 'DELETE' })).status).toBe(204);
    edge.gpu.script.refuse = null;
    expect((await ended(body)).status).toBe('succeeded');
    await after.settled();
    const read = await request(`/v1/embeddings/${await imageIdOf(image)}`);
    expect(read.status).toBe(404);
    const byHash = { image: { sha256: await imageIdOf(image) }, question: 'what?' };
    expect((await post('/v1/answers', byHash)).status).toBe(404);
  });

  it('is the same one for the same request within seconds, sent at once or one after the other', async () => {
    const input = { image: dataUrl(), question: 'what?' };
    const all = await Promise.all(
      Array.from({ length: 5 }, () => create(input, { prefer: 'wait' })),
    );
    all.push(await create(input), await create({ ...input }));
    expect(new Set(all.map(({ body }) => body.id)).size).toBe(1);
    expect(edge.gpu.received).toHaveLength(1);
    expect((await create({ ...input, seed: 1 })).body.id).not.toBe(all[0]?.body.id);
  });

  it.each(['no-cache', 'no-store', 'max-age=0'])(
    'is made anew for a request with Cache-Control: %s, joined while it is made',
    async (value) => {
      const input = { image: dataUrl() };
      const first = await create(input, { prefer: 'wait' });
      const fresh = { 'cache-control': value };
      const gate = Promise.withResolvers<void>();
      edge.gpu.script.token = () => gate.promise;
      const [second, third] = await Promise.all([create(input, fresh), create(input, fresh)]);
      gate.resolve();
      expect(second.body.id).not.toBe(first.body.id);
      expect(third.body.id).toBe(second.body.id);
      await ended(second.body);
      expect(edge.gpu.received).toHaveLength(2);
      const other = await create(input, { ...fresh, prefer: 'wait' });
      expect(other.body.id).not.toBe(second.body.id);
    },
  );

  it('that failed or was canceled is made anew', async () => {
    edge.gpu.script.refuse = new ApiError('computation-failed', 'NaN.');
    const input = { image: dataUrl() };
    const failed = await create(input, { prefer: 'wait' });
    edge.gpu.script.refuse = null;
    const made = await create(input, { prefer: 'wait' });
    expect([failed.body.status, made.body.status]).toEqual(['failed', 'succeeded']);
  });

  it.each(['data: a sign', 'https://example.com'])('%s is no address to fetch', async (text) => {
    edge.gpu.script.text = text;
    const { body } = await create({ image: dataUrl() }, { prefer: 'wait' });
    expect(body.output).toBe(` ${text}`);
  });

  it('is deleted after an hour, and leaves nothing behind', async () => {
    const { body } = await create({ image: dataUrl() }, { prefer: 'wait' });
    const stub = namespace.get(namespace.idFromString(body.id.slice(32)));
    vi.setSystemTime(Date.now() + 3_600_000);
    try {
      expect((await get(body.urls.get)).status).toBe(404);
      expect(await runDurableObjectAlarm(stub)).toBe(true);
    } finally {
      vi.useRealTimers();
    }
    const tables = await runInDurableObject(stub, (_, { storage }) =>
      storage.sql.exec("SELECT name FROM sqlite_master WHERE name = 'predictions'").toArray(),
    );
    expect(tables).toEqual([]);
    expect((await get(body.urls.get)).status).toBe(404);
  });

  it('that an earlier instance of its object had not ended has failed', async () => {
    const { body } = await create({ image: dataUrl() }, { prefer: 'wait' });
    await vi.waitFor(async () => expect(await storedBeside(body)).toEqual([body.id]));
    const stub = namespace.get(namespace.idFromString(body.id.slice(32)));
    const lost = body.id.replace(/^.{32}/, '0'.repeat(32));
    await runInDurableObject(stub, (_, { storage }) => {
      const [{ record }] = storage.sql
        .exec<{ record: string }>('SELECT record FROM predictions WHERE id = ?', body.id)
        .toArray() as [{ record: string }];
      const stored = { ...JSON.parse(record), id: lost, status: 'starting', endedAt: null };
      storage.sql.exec(
        "INSERT INTO predictions (id, created_at, record, deltas) VALUES (?, ?, ?, '[]')",
        ...[lost, Date.now(), JSON.stringify(stored)],
      );
    });
    const { body: found } = await get(`${BASE}/predictions/${lost}`);
    expect(found).toMatchObject({ status: 'failed', error: expect.stringContaining('again') });
  });
});

describe('the input', () => {
  const decoded = () => {
    const { request } = edge.gpu.received.at(-1) ?? {};
    if (request?.kind !== 'generate') throw new Error('no generation');
    const { input_ids, generation } = request;
    const tokenizer = edge.deps.models.generate.tokenizer();
    const bytes = input_ids.flatMap((id) => [...tokenizer.bytesOf(id)]);
    return { prompt: new TextDecoder().decode(new Uint8Array(bytes)), generation };
  };

  it.each([
    [{}, 'question: what is this a picture of?'],
    [{ question: 'red?' }, 'question: red?'],
    [{ question: 'red?', context: 'Question: a dog? Answer: yes.' }, 'answer: yes. question: red?'],
  ])('%j asks', async (input, prompt) => {
    await create({ image: dataUrl(), ...input }, { prefer: 'wait' });
    expect(decoded().prompt).toContain(prompt);
  });

  it.each([{ caption: true }, { caption: true, question: 'red?' }, { question: ' ' }])(
    '%j captions',
    async (input) => {
      await create({ image: dataUrl(), ...input }, { prefer: 'wait' });
      expect(decoded().prompt).not.toContain('question');
    },
  );

  it.each([
    [{}, { temperature: 0 }],
    [{ temperature: 0.7 }, { temperature: 0 }],
    [{ use_nucleus_sampling: true }, { temperature: 1, top_p: 0.9 }],
    [
      { use_nucleus_sampling: true, temperature: 0.5, top_p: 0.5 },
      { temperature: 0.5, top_p: 0.5 },
    ],
    [
      { num_beams: 3, max_new_tokens: 9 },
      { num_beams: 3, max_tokens: 9, temperature: 0 },
    ],
  ])('%j generates with %j', async (input, generation) => {
    await create({ image: dataUrl(), ...input }, { prefer: 'wait' });
    expect(decoded().generation).toMatchObject(generation);
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['no image', {}, 'input.image'],
    [
      'an image that is none',
      { image: 'data:text/plain;base64,aGVsbG8gd29ybGQgaGVsbG8=' },
      'input.image',
    ],
    ['bytes as an object', { image: { 0: 137, 1: 80 } }, 'input.image'],
    ['a number as the question', { image: 'https://a.example/', question: 1 }, 'input.question'],
    [
      'too high a temperature',
      { image: 'https://a.example/', temperature: 3 },
      'input.temperature',
    ],
    ['an unknown member', { image: 'https://a.example/', colour: 'red' }, 'input.colour'],
    [
      'a contradiction',
      { image: 'https://a.example/', use_nucleus_sampling: true, num_beams: 2 },
      'input.num_beams',
    ],
    [
      'a long question',
      { image: 'https://a.example/', question: 'dog '.repeat(400) },
      'input.question',
    ],
  ])('%s is refused by name', async (_name, input, field) => {
    const { status, body } = await create(input);
    expect([status, body.field]).toEqual([422, field]);
    expect(body).toMatchObject({
      title: expect.any(String),
      detail: expect.any(String),
      status: 422,
    });
    expect(edge.gpu.received).toHaveLength(0);
  });

  it('that is the client itself is refused, and nothing of it comes back or is logged', async () => {
    const logs = [vi.spyOn(console, 'warn'), vi.spyOn(console, 'error'), vi.spyOn(console, 'log')];
    const { status, body } = await create({ auth: 'r8_secret', baseUrl: 'x', userAgent: 'y' });
    expect([status, body.field]).toEqual([422, 'input']);
    expect(JSON.stringify(body)).not.toContain('r8_secret');
    const other = await create({ image: dataUrl(), auth: 'r8_secret' });
    expect(other.status).toBe(422);
    expect(JSON.stringify(other.body)).not.toContain('r8_secret');
    for (const log of logs) {
      expect(JSON.stringify(log.mock.calls)).not.toContain('r8_secret');
      log.mockRestore();
    }
  });

  it('has no webhook', async () => {
    const body = { input: { image: dataUrl() }, webhook: 'https://hook.example/' };
    const response = await post(`${BASE}/predictions`, body);
    expect(response.status).toBe(422);
    expect(await response.json()).toMatchObject({
      field: 'webhook',
      detail: expect.stringContaining('urls.stream'),
    });
  });

  it('has an image by its address', async () => {
    edge.gpu.web.set('https://images.example/a.png', () => new Response(newImage()));
    const image = 'https://images.example/a.png';
    const { body } = await create({ image }, { prefer: 'wait' });
    expect(body).toMatchObject({ status: 'succeeded', input: { image } });
    const { body: refused } = await create({ image: 'http://127.0.0.1/a.png' }, { prefer: 'wait' });
    expect(refused).toMatchObject({
      status: 'failed',
      error: expect.stringContaining('not public'),
    });
  });
});

describe('a stream', () => {
  it('has the parts of the text under numbers, and needs no key', async () => {
    edge.gpu.script.text = ' a red\ndog';
    const { body } = await create({ image: dataUrl() });
    const response = await streamOf(body);
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    const text = await response.text();
    expect(text).toMatch(/^: ok\n\nid: 1\nevent: output\ndata: /);
    expect(text).toMatch(/event: done\ndata: \{\}\n\n$/);
    const parts = [...text.matchAll(/event: output\n((?:data: .*\n)+)/g)].map(([, lines = '']) =>
      lines.slice(6, -1).replaceAll('\ndata: ', '\n'),
    );
    expect(parts.length).toBeGreaterThan(1);
    expect(parts.join('')).toBe((await ended(body)).output);
  });

  it('begins anew for whoever comes late, and behind the last event for whoever comes back', async () => {
    const { body } = await create({ image: dataUrl() }, { prefer: 'wait' });
    const withoutComments = (text: string) => text.replaceAll(/^:.*\n\n/gm, '');
    const whole = withoutComments(await (await streamOf(body)).text());
    expect(withoutComments(await (await streamOf(body)).text())).toBe(whole);
    const rest = withoutComments(await (await streamOf(body, { 'last-event-id': '1' })).text());
    expect(rest).toBe(whole.slice(whole.indexOf('id: 2')));
    const end = withoutComments(await (await streamOf(body, { 'last-event-id': '999' })).text());
    expect(end).toMatch(/^id: \d+\nevent: done\ndata: \{\}\n\n$/);
  });

  it('says that the prediction failed, and that it was canceled', async () => {
    edge.gpu.script.failLate = new ApiError('computation-failed', 'Not\nfinite.').toProblem();
    const { body } = await create({ image: dataUrl() });
    expect(await (await streamOf(body)).text()).toMatch(
      /event: error\ndata: Not\ndata: finite\.\n\nid: \d+\nevent: done\ndata: \{"reason":"error"\}\n\n$/,
    );
    edge.gpu.script.failLate = null;
    edge.gpu.script.token = () => new Promise(() => {});
    const { body: other } = await create({ image: dataUrl() });
    const reading = (await streamOf(other)).text();
    await post(pathOf(other.urls.cancel), {});
    expect(await reading).toMatch(/event: done\ndata: \{"reason":"canceled"\}\n\n$/);
  });

  it('whose only reader leaves ends the work', async () => {
    edge.gpu.script.token = () => new Promise(() => {});
    const { body } = await create({ image: dataUrl() });
    const { body: events } = await streamOf(body);
    await edge.gpu.untilReceived(1);
    await events?.cancel();
    await edge.gpu.untilCanceled(1);
    expect((await get(body.urls.get)).body.status).toBe('canceled');
  });

  it('is open so many times at once, and no more', async () => {
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.token = () => gate.promise;
    const { body } = await create({ image: dataUrl() });
    const open = await Promise.all(Array.from({ length: 32 }, () => streamOf(body)));
    expect(open.every(({ ok }) => ok)).toBe(true);
    expect((await streamOf(body)).status).toBe(429);
    gate.resolve();
    const texts = await Promise.all(open.map((response) => response.text()));
    expect(texts.every((text) => text.endsWith('data: {}\n\n'))).toBe(true);
  });

  it('has places that strangers with its URL cannot take from who made it', async () => {
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.token = () => gate.promise;
    const { body } = await create({ image: dataUrl() });
    const stranger = (n: number) =>
      edge.request(pathOf(body.urls.stream), { headers: { 'x-address': `198.51.100.${n}` } });
    const open = await Promise.all(Array.from({ length: 9 }, () => stranger(1)));
    expect(open.filter(({ ok }) => ok)).toHaveLength(8);
    const others = await Promise.all(Array.from({ length: 30 }, (_, n) => stranger(n + 2)));
    expect(others.filter(({ ok }) => ok)).toHaveLength(24);
    const own = await streamOf(body);
    expect(own.status).toBe(200);
    await open.find(({ ok }) => ok)?.body?.cancel();
    await vi.waitUntil(async () => (await stranger(50)).ok);
    gate.resolve();
    expect(await own.text()).toContain('event: done');
  });

  it('and a file are opened by strangers so often a minute, and no more', async () => {
    const { body } = await create({ image: dataUrl() }, { prefer: 'wait' });
    const form = new FormData();
    form.set('content', new Blob([newImage()]), 'a.png');
    const uploaded = await request(`${BASE}/files`, { method: 'POST', body: form });
    const { urls } = (await uploaded.json()) as ReplicateFile;
    for (const url of [body.urls.stream, urls.download]) {
      let refused = 0;
      for (let i = 0; i < 125; i++) {
        const headers = { 'x-address': `198.51.100.${i}` };
        const reply = await edge.request(pathOf(url), { headers });
        await reply.text();
        if (reply.status === 429) refused++;
      }
      expect(refused).toBe(5);
      expect((await request(pathOf(url))).status).toBe(200);
    }
  });

  it('is for nobody with another token, and no made-up id reaches an object', async () => {
    const { body } = await create({ image: dataUrl() }, { prefer: 'wait' });
    const wrong = body.urls.stream.replace(/token=.*/, `token=${'0'.repeat(32)}`);
    expect((await get(wrong)).status).toBe(404);
    expect((await get(body.urls.stream.replace(/\?.*/, ''))).status).toBe(404);
    const before = (await listDurableObjectIds(namespace)).length;
    for (const id of [
      'x',
      '0'.repeat(96),
      `${body.id.slice(0, -1)}${body.id.endsWith('0') ? 1 : 0}`,
    ]) {
      expect((await get(`${BASE}/predictions/${id}`)).status).toBe(404);
      expect((await get(`${BASE}/stream/${id}?token=${'0'.repeat(32)}`)).status).toBe(404);
    }
    expect((await listDurableObjectIds(namespace)).length).toBe(before);
  });
});

describe('files', () => {
  async function upload(bytes: Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) {
    const form = new FormData();
    form.set('content', new Blob([bytes], { type: 'application/octet-stream' }), 'buffer_1');
    form.set('metadata', new Blob(['{"album":7}'], { type: 'application/json' }));
    const response = await request(`${BASE}/files`, { method: 'POST', body: form, headers });
    return {
      status: response.status,
      body: (await response.json()) as ReplicateFile & { field: string },
    };
  }

  it('are images of predictions by their address', async () => {
    const image = newImage();
    const { status, body } = await upload(image);
    expect(status).toBe(201);
    expect(body).toMatchObject({
      name: 'buffer_1',
      content_type: 'image/png',
      size: image.length,
      etag: await imageIdOf(image),
      metadata: { album: 7 },
    });
    const made = await create({ image: body.urls.get }, { prefer: 'wait' });
    expect(made.body).toMatchObject({ status: 'succeeded', input: { image: body.urls.get } });
    expect(edge.gpu.received[0]?.payload).toEqual(image);
  });

  it('are read, downloaded and deleted', async () => {
    const image = newImage(90_000);
    const { body } = await upload(image);
    expect(await (await request(pathOf(body.urls.get))).json()).toEqual(body);
    const download = await request(pathOf(body.urls.download));
    expect(download.headers.get('content-disposition')).toBe('attachment');
    expect(await download.bytes()).toEqual(image);
    expect((await request(pathOf(body.urls.download).slice(0, -1))).status).toBe(404);
    const path = pathOf(body.urls.get);
    expect((await request(path, { method: 'DELETE' })).status).toBe(204);
    expect((await request(path, { method: 'DELETE' })).status).toBe(404);
    expect((await request(path)).status).toBe(404);
    const gone = await create({ image: body.urls.get });
    expect([gone.status, gone.body.field]).toEqual([422, 'input.image']);
  });

  it('that are sent again at once are one', async () => {
    const image = newImage();
    const [first, second] = [await upload(image), await upload(image)];
    expect(second.body.id).toBe(first.body.id);
  });

  it('of more than a piece come back whole', async () => {
    start({ MAX_IMAGE_BYTES: '3000000', MAX_BODY_BYTES: '4000000' });
    const image = newImage(2_500_000);
    const { body } = await upload(image);
    const bytes = await (await request(pathOf(body.urls.download))).bytes();
    expect(await imageIdOf(bytes)).toBe(body.etag);
  });

  it('make room for newer ones', async () => {
    const { body: first } = await upload(newImage());
    for (let i = 0; i < 63; i++) await upload(newImage());
    expect((await request(pathOf(first.urls.get))).status).toBe(200);
    await upload(newImage());
    expect((await request(pathOf(first.urls.get))).status).toBe(404);
  });

  it.each<[string, number, () => RequestInit]>([
    ['no form', 415, () => ({ body: newImage() })],
    ['no file', 422, () => ({ body: new FormData() })],
    ['what is no image', 422, () => formOf(new Uint8Array(64))],
    ['half an image', 422, () => formOf(newImage(600).slice(0, 300))],
    ['metadata that is no JSON', 400, () => formOf(newImage(), '{')],
    ['metadata that is no object', 422, () => formOf(newImage(), '[]')],
    ['much metadata', 422, () => formOf(newImage(), `{"a":"${'x'.repeat(5000)}"}`)],
    ['too many bytes', 413, () => formOf(newImage(250_000))],
  ])('%s is refused', async (_name, status, init) => {
    const response = await request(`${BASE}/files`, { method: 'POST', ...init() });
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ status, detail: expect.any(String) });
  });

  function formOf(bytes: Uint8Array<ArrayBuffer>, metadata?: string): RequestInit {
    const body = new FormData();
    body.set('content', new Blob([bytes]), 'a.png');
    if (metadata !== undefined) body.set('metadata', metadata);
    return { body };
  }
});

describe('with keys', () => {
  async function keyed(name: string, limits?: KeyLimits): Promise<Record<string, string>> {
    const key = createKey();
    const record = { name, scopes: ['replicate'], created_at: 0, ...(limits && { limits }) };
    await (env as unknown as { KEYS: KVNamespace }).KEYS.put(
      await keyName(key),
      JSON.stringify(record),
    );
    return { authorization: `Bearer ${key}` };
  }
  beforeEach(() => {
    start({ ALLOW_ANONYMOUS: '' });
  });

  it('nobody reads, cancels or uses what is of another key', async () => {
    const [alice, bob] = [await keyed('alice'), await keyed('bob')];
    const { body } = await create({ image: dataUrl() }, { ...alice, prefer: 'wait' });
    expect((await get(body.urls.get, bob)).status).toBe(404);
    expect((await get(body.urls.get)).status).toBe(401);
    expect((await post(pathOf(body.urls.cancel), {}, bob)).status).toBe(404);
    expect((await get(body.urls.get, alice)).body.output).toBe('a red dog');
    // The URL is the key.
    expect((await streamOf(body)).status).toBe(200);
    const form = new FormData();
    form.set('content', new Blob([newImage()]), 'a.png');
    const uploaded = await request(`${BASE}/files`, {
      method: 'POST',
      body: form,
      headers: alice,
    });
    const { urls } = (await uploaded.json()) as ReplicateFile;
    const stolen = await create({ image: urls.get }, bob);
    expect([stolen.status, stolen.body.field]).toEqual([422, 'input.image']);
    expect((await request(pathOf(urls.get), { method: 'DELETE', headers: bob })).status).toBe(404);
    const account = await request(`${BASE}/account`, { headers: bob });
    expect(await account.json()).toEqual({ type: 'user', username: 'bob', name: 'bob' });
    const files = await request(`${BASE}/files`, { headers: bob });
    expect(((await files.json()) as { results: unknown[] }).results).toEqual([]);
  });

  it('the same request of two keys is two predictions', async () => {
    const input = { image: dataUrl() };
    const [alice, bob] = [await keyed('alice'), await keyed('bob')];
    const ids = [
      await create(input, { ...alice, prefer: 'wait' }),
      await create(input, { ...bob, prefer: 'wait' }),
    ].map(({ body }) => body.id);
    expect(new Set(ids).size).toBe(2);
  });

  it('a key lists its own, the newest first, by pages there and back', async () => {
    const alice = await keyed('alice');
    const made: string[] = [];
    for (let i = 0; i < 52; i++) {
      const { body } = await create(
        { image: '0'.repeat(64), question: `${i}?` },
        { ...alice, prefer: 'wait' },
      );
      made.unshift(body.id);
    }
    const list = async (url: string) =>
      (await (await request(pathOf(url), { headers: alice })).json()) as PredictionList;
    const first = await list(`${BASE}/predictions`);
    expect([first.previous, first.results.length]).toEqual([null, 50]);
    const second = await list(first.next ?? '');
    expect([second.next, second.results.length]).toEqual([null, 2]);
    expect([...first.results, ...second.results].map(({ id }) => id)).toEqual(made);
    expect(await list(second.previous ?? '')).toEqual(first);
    const wrong = await request(`${BASE}/predictions?cursor=1;drop`, { headers: alice });
    expect(wrong.status).toBe(422);
  });

  describe('with limits', () => {
    const usageOf = async (headers: Record<string, string>) => {
      const { limits } = (await (await request('/v1/usage', { headers })).json()) as UsageReply;
      return limits;
    };

    it('gets 429 at once for what is too much, however many are created at once', async () => {
      const gate = Promise.withResolvers<void>();
      edge.gpu.script.start = gate.promise;
      const alice = await keyed('alice', { tokens_per_minute: 100 });
      const sent = Array.from({ length: 6 }, (_, i) => ({
        image: dataUrl(),
        question: `${i}?`,
        max_tokens: 20,
      }));
      const all = await Promise.all(sent.map((input) => create(input, alice)));
      const made = all.filter(({ status }) => status === 201);
      expect(made.length).toBeGreaterThan(0);
      expect(made.length).toBeLessThan(6);
      for (const { status, body } of all) {
        if (status !== 201) expect([status, body.detail]).toEqual([429, expect.any(String)]);
      }
      gate.resolve();
      const done = await Promise.all(made.map(({ body }) => ended(body, alice)));
      expect(done.map(({ status }) => status)).toEqual(made.map(() => 'succeeded'));
      expect(edge.gpu.received).toHaveLength(made.length);
      // What was taken and not needed is there again.
      const bob = await keyed('bob', { tokens_per_minute: 100 });
      await create({ ...sent[0], image: dataUrl() }, { ...bob, prefer: 'wait' });
      const left = async (of: Record<string, string>) =>
        (await usageOf(of)).tokens_per_minute?.remaining ?? 0;
      expect(100 - (await left(alice))).toBe(made.length * (100 - (await left(bob))));
    });

    it('is refused one whose twin is refused, and takes what a canceled one had', async () => {
      const alice = await keyed('alice', { tokens_per_minute: 100 });
      edge.gpu.script.token = () => new Promise(() => {});
      const { body } = await create({ image: dataUrl(), max_tokens: 50 }, alice);
      const twin = { image: dataUrl(), max_tokens: 60 };
      const both = await Promise.all([create(twin, alice), create(twin, alice)]);
      expect(both.map(({ status }) => status)).toEqual([429, 429]);
      await post(pathOf(body.urls.cancel), {}, alice);
      await edge.gpu.untilCanceled(1);
      await vi.waitUntil(async () => {
        const { tokens_per_minute: tokens } = await usageOf(alice);
        return (tokens?.remaining ?? 0) > 50;
      });
    });

    it('is refused an image beyond those of the day, but for one that is cached', async () => {
      const alice = await keyed('alice', { images_per_day: 2 });
      const cached = dataUrl();
      await create({ image: cached }, { ...alice, prefer: 'wait' });
      const [one, other, again] = await Promise.all([
        create({ image: dataUrl() }, alice),
        create({ image: dataUrl() }, alice),
        create({ image: cached, question: 'what is it?' }, alice),
      ]);
      expect([one?.status, other?.status].toSorted()).toEqual([201, 429]);
      expect(again?.status).toBe(201);
      expect((await ended(again.body, alice)).status).toBe('succeeded');
      expect((await usageOf(alice)).images_per_day?.remaining).toBe(0);
    });
  });

  it('a caller has so many predictions at a time, and no more', async () => {
    edge.gpu.script.token = () => new Promise(() => {});
    const alice = await keyed('alice');
    const image = '0'.repeat(64);
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.start = gate.promise;
    const bytes = dataUrl();
    const all = await Promise.all(
      Array.from({ length: 70 }, (_, i) => create({ image: bytes, question: `${i}?` }, alice)),
    );
    const statuses = Map.groupBy(all, ({ status }) => status);
    expect(statuses.get(201)?.length).toBe(64);
    expect(statuses.get(429)?.length).toBe(6);
    await Promise.all(
      all.map(({ status, body }) => status === 201 && post(pathOf(body.urls.cancel), {}, alice)),
    );
    gate.resolve();
    edge.gpu.script.token = () => Promise.resolve();
    expect((await create({ image }, { ...alice, prefer: 'wait' })).status).toBe(201);
  });
});

it('lists nothing where an address may be that of many', async () => {
  await create({ image: dataUrl() }, { prefer: 'wait' });
  const { results } = (await (await request(`${BASE}/predictions`)).json()) as PredictionList;
  expect(results).toEqual([]);
});

describe('models', () => {
  const json = async (path: string) => {
    const response = await request(`${BASE}${path}`);
    return { status: response.status, body: (await response.json()) as object };
  };
  const VERSIONS = [
    '4b32258c42e9efd4288bb9910bc532a69727f9acd26aa08e175713a0a857a608',
    'f677695e5e89f8b236e52ecd1d3f01beb44c34606419bcc19345e046d8f786f9',
  ];

  it('are listed under every name, each of which runs', async () => {
    const { results } = (await json('/models')).body as {
      results: { owner: string; name: string; latest_version: { id: string } }[];
    };
    expect(results.map(({ owner, name }) => `${owner}/${name}`)).toContain('salesforce/blip-2');
    for (const { owner, name, latest_version } of results) {
      const path = `/models/${owner}/${name}`;
      expect((await json(path)).status).toBe(200);
      expect((await json(`${path}/versions/${latest_version.id}`)).body).toEqual(latest_version);
      const { body } = await create(
        { image: dataUrl() },
        { prefer: 'wait' },
        `${path}/predictions`,
      );
      expect(body).toMatchObject({
        status: 'succeeded',
        model: `${owner}/${name}`,
        version: latest_version.id,
      });
    }
  });

  it.each(VERSIONS)('have the version %s', async (version) => {
    const input = { image: dataUrl() };
    for (const named of [version, `andreasjansson/blip-2:${version}`]) {
      const response = await post(
        `${BASE}/predictions`,
        { version: named, input },
        { prefer: 'wait' },
      );
      expect(await response.json()).toMatchObject({ status: 'succeeded', version });
    }
    const { body } = await json(`/models/andreasjansson/blip-2/versions/${version}`);
    expect(body).toMatchObject({
      id: version,
      cog_version: expect.any(String),
      openapi_schema: {
        components: {
          schemas: {
            Input: {
              properties: { image: {}, caption: {}, question: {}, context: {} },
              required: ['image'],
            },
            Output: { type: 'string' },
          },
        },
      },
    });
  });

  it.each([
    ['/models/stability-ai/sdxl', 404],
    ['/models/salesforce/blip-2/versions/0', 404],
    ['/models/salesforce/blip-2/versions', 200],
    ['/hardware', 404],
  ])('%s is %i', async (path, status) => {
    const reply = await json(path);
    expect(reply.status).toBe(status);
    if (status === 404) expect(reply.body).toMatchObject({ title: expect.any(String), status });
  });

  it('that are not served are refused by name', async () => {
    const input = { image: dataUrl() };
    const version = await post(`${BASE}/predictions`, { version: '0'.repeat(64), input });
    expect(await version.json()).toMatchObject({ status: 404, field: 'version' });
    const model = await post(`${BASE}/models/a/b/predictions`, { input });
    expect(await model.json()).toMatchObject({
      status: 404,
      field: 'model',
      detail: expect.stringContaining('salesforce/blip-2'),
    });
  });
});

describe('Prefer', () => {
  it.each([
    [undefined, null],
    ['', null],
    ['respond-async', null],
    ['awaiting', null],
    ['wait', 60],
    ['Wait', 60],
    ['wait=5', 5],
    ['respond-async, wait=5', 5],
    ['wait=0', 1],
    ['wait=999', 60],
  ])('%j waits for %j', (prefer, seconds) => {
    expect(waitSecondsOf(prefer)).toBe(seconds);
  });
});

it('addresses in replies are those that a proxy is reached by', async () => {
  start({ PUBLIC_URL: 'https://blip2.example/api/' });
  const { body } = await create({ image: dataUrl() }, { prefer: 'wait' });
  expect(body.urls.get).toBe(`https://blip2.example/api/replicate/v1/predictions/${body.id}`);
});

it('a deployment without objects says what to bind', async () => {
  start({ PREDICTIONS: undefined as never });
  const { status, body } = await create({ image: dataUrl() });
  expect(status).toBe(500);
  expect(body.detail).toContain('PREDICTIONS');
  expect((await request(`${BASE}/models`)).status).toBe(200);
});
