import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { createKey, keyName } from '@blip2/shared/api-key';
import { ApiError, Problem } from '@blip2/shared/errors';
import { imageIdOf } from '@blip2/shared/image-id';
import { OpenAiError } from '@blip2/shared/schemas/openai/error';
import fc from 'fast-check';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { base64, eventsOf, newImage, startEdge, type TestEdge, testEnv } from '../testing/edge.ts';
import { generative } from '../testing/models.ts';
import type { IdempotentReplies, Outcome, Run, RunReply } from './idempotent-replies.ts';
import { StoredReplies } from './stored-replies.ts';

const png = { 'content-type': 'image/png' };
const newKey = () => ({ 'idempotency-key': crypto.randomUUID() });
const namespace = testEnv.IDEMPOTENCY as DurableObjectNamespace<IdempotentReplies>;

/** Else the same request would be answered without the GPU worker, whatever its key. */
const WITHOUT_REPLIES = { REPLY_TTL_HOURS: '0' };

let edge: TestEdge;
let image: Uint8Array<ArrayBuffer>;
beforeEach(() => {
  edge = startEdge({ env: WITHOUT_REPLIES });
  image = newImage();
});

const caption = (headers: Record<string, string>, query = '') =>
  edge.post(`/v1/captions${query}`, image, { ...png, ...headers });
const isReplayed = ({ headers }: Response) => headers.get('idempotent-replayed') === 'true';

describe('requests with one Idempotency-Key', () => {
  it('run once, however many come at once, and get the same bytes', async () => {
    const key = newKey();
    const replies = await Promise.all(Array.from({ length: 50 }, () => caption(key)));
    const bodies = await Promise.all(replies.map((reply) => reply.text()));
    expect(bodies[0]).toContain('a red dog');
    expect(new Set(bodies).size).toBe(1);
    expect(replies.filter(isReplayed)).toHaveLength(49);
    expect(edge.gpu.received).toHaveLength(1);
  });

  it('get the stored reply later, which says so, and has no timing of its own', async () => {
    const key = newKey();
    const first = await caption(key);
    const text = await first.text();
    const second = await caption(key);
    expect(await second.text()).toBe(text);
    expect([isReplayed(first), isReplayed(second)]).toEqual([false, true]);
    expect(second.headers.get('content-type')).toBe(first.headers.get('content-type'));
    expect(second.headers.get('x-request-id')).not.toBe(first.headers.get('x-request-id'));
    expect(first.headers.has('server-timing')).toBe(true);
    expect(second.headers.has('server-timing')).toBe(false);
  });

  it('are others without the header, or with another key', async () => {
    await (await caption(newKey())).text();
    await (await caption(newKey())).text();
    expect(isReplayed(await caption({}))).toBe(false);
    expect(edge.gpu.received).toHaveLength(3);
  });

  it('get all of a stream while it runs, and after it', async () => {
    const key = newKey();
    const gate = Promise.withResolvers<void>();
    let tokens = 0;
    edge.gpu.script.token = async () => {
      if (++tokens === 2) await gate.promise;
    };
    const first = await caption(key, '?stream=true');
    const second = await caption(key, '?stream=true');
    gate.resolve();
    const third = caption(key, '?stream=true');
    const texts = await Promise.all([first.text(), second.text(), third.then((r) => r.text())]);
    expect(new Set(texts).size).toBe(1);
    expect(texts[0]).toContain('event: done');
    const later = await caption(key, '?stream=true');
    expect(later.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect((await eventsOf(later)).at(-1)?.event).toBe('done');
    expect(edge.gpu.received).toHaveLength(1);
  });

  it('get a stream whose events are numbered as without a key', async () => {
    const body = { model: generative.name, input: 'hello', stream: true };
    const reply = await edge.post('/v1/responses', body, newKey());
    const numbers = [...(await reply.text()).matchAll(/"sequence_number":(\d+)/g)].map(
      ([, number]) => Number(number),
    );
    expect(numbers.length).toBeGreaterThan(4);
    expect(numbers).toEqual(numbers.map((_, i) => i));
  });

  it('go on without the client that left, for the one that comes back', async () => {
    const key = newKey();
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.token = () => gate.promise;
    const left = await caption(key, '?stream=true');
    await left.body?.cancel();
    gate.resolve();
    const reply = await caption(key, '?stream=true');
    expect(isReplayed(reply)).toBe(true);
    expect((await eventsOf(reply)).at(-1)?.data.caption).toBe('a red dog');
    expect(edge.gpu.canceled).toBe(0);
    expect(edge.gpu.received).toHaveLength(1);
  });

  it('are the same in multipart, whatever boundary each attempt draws', async () => {
    const key = newKey();
    const form = () => {
      const body = new FormData();
      body.set('image', new Blob([image], { type: 'image/png' }), 'image.png');
      body.set('max_tokens', '5');
      return body;
    };
    const first = await edge.post('/v1/captions', form(), key);
    const second = await edge.post('/v1/captions', form(), key);
    expect(await second.text()).toBe(await first.text());
    expect(isReplayed(second)).toBe(true);
    const other = form();
    other.set('max_tokens', '6');
    expect((await edge.post('/v1/captions', other, key)).status).toBe(422);
  });
});

it('one request of each key runs, in whatever crowd, and its equals alone get its bytes', async () => {
  const crowd = fc.array(fc.record({ key: fc.nat(3), image: fc.nat(2) }), {
    minLength: 1,
    maxLength: 24,
  });
  await fc.assert(
    fc.asyncProperty(crowd, async (requests) => {
      edge = startEdge({ env: WITHOUT_REPLIES });
      const images = [newImage(), newImage(), newImage()];
      const run = crypto.randomUUID();
      const replies = await Promise.all(
        requests.map(async ({ key, image: which }) => {
          const headers = { ...png, 'idempotency-key': `${run}-${key}` };
          const bytes = images[which] as Uint8Array<ArrayBuffer>;
          const reply = await edge.post('/v1/captions', bytes, headers);
          return { key, which, status: reply.status, text: await reply.text() };
        }),
      );
      const byKey = Map.groupBy(replies, ({ key }) => key);
      for (const all of byKey.values()) {
        const answered = all.filter(({ status }) => status === 200);
        expect(new Set(answered.map(({ text }) => text)).size).toBe(1);
        expect(new Set(answered.map(({ which }) => which)).size).toBe(1);
        for (const { which, status } of all) {
          expect(status).toBe(which === answered[0]?.which ? 200 : 422);
        }
      }
      expect(edge.gpu.received).toHaveLength(byKey.size);
      await edge.settled();
    }),
    { numRuns: 12 },
  );
}, 60_000);

describe('the headers of requests with one Idempotency-Key', () => {
  const question = { model: generative.name, input: 'hello' };
  const predict = { input: { image: 'https://unreached.example/a.png', caption: true } };

  it.each([
    ['/v1/captions', null, [{}, { accept: '*/*' }, { accept: 'application/json, text/*;q=0.5' }]],
    ['/v1/responses', question, [{ accept: 'application/json' }, { accept: 'text/event-stream' }]],
    [
      '/v1/responses',
      question,
      [{ 'user-agent': 'node' }, { 'user-agent': 'curl/8', prefer: 'wait' }],
    ],
    ['/v1/responses', question, [{}, { 'content-encoding': 'identity' }]],
    ['/hf/image-to-text', null, [{ 'user-agent': 'node' }, {}]],
    [
      '/replicate/v1/models/salesforce/blip-2/predictions',
      predict,
      [{ prefer: 'wait' }, { prefer: 'respond-async, wait=60', accept: 'text/html' }],
    ],
  ])('of %s %# may differ in words', async (path, body, all: Record<string, string>[]) => {
    const key = newKey();
    for (const [i, headers] of all.entries()) {
      const sent = body === null ? { ...png, ...key } : key;
      const reply = await edge.post(path, body ?? image, { ...sent, ...headers });
      expect(reply.status).toBeLessThan(300);
      expect(isReplayed(reply)).toBe(i > 0);
      await reply.text();
    }
  });

  it.each([
    ['/v1/embeddings', [{ accept: 'application/x-npy' }, {}]],
    ['/hf/image-to-text', [{}, { 'user-agent': 'unknown/None; hf_hub/1.0; python/3.12' }]],
  ])('of %s may not ask for another form', async (path, all: Record<string, string>[]) => {
    const key = newKey();
    const statuses: number[] = [];
    for (const headers of all) {
      const reply = await edge.post(path, image, { ...png, ...key, ...headers });
      statuses.push(reply.status);
      await reply.text();
    }
    expect(statuses).toEqual([200, 422]);
  });
});

describe('an Idempotency-Key of another request', () => {
  it('is refused, whatever differs, also while the first runs', async () => {
    const key = newKey();
    const gate = Promise.withResolvers<void>();
    edge.gpu.script.start = gate.promise;
    const first = caption(key);
    await edge.gpu.untilReceived(1);
    const others = [
      () => edge.post('/v1/captions', newImage(), { ...png, ...key }),
      () => caption(key, '?max_tokens=3'),
      () => caption({ ...key, accept: 'text/event-stream' }),
      () => edge.post('/v1/embeddings', image, { ...png, ...key }),
    ];
    const early = await Promise.all(others.map((send) => send()));
    gate.resolve();
    expect((await first).status).toBe(200);
    const late = await Promise.all(others.map((send) => send()));
    for (const reply of [...early, ...late]) {
      expect(reply.status).toBe(422);
      const problem = Problem.parse(await reply.json());
      expect(problem).toMatchObject({
        type: '/problems/idempotency-key-reused',
        field: 'Idempotency-Key',
      });
    }
    expect(edge.gpu.received).toHaveLength(1);
  });

  it('is refused in the form of the dialect', async () => {
    const key = newKey();
    const chat = (text: string) =>
      edge.post(
        '/v1/chat/completions',
        { model: generative.name, messages: [{ role: 'user', content: text }] },
        key,
      );
    expect((await chat('hello')).status).toBe(200);
    expect(isReplayed(await chat('hello'))).toBe(true);
    const { error } = OpenAiError.parse(await (await chat('bye')).json());
    expect(error).toMatchObject({ code: 'idempotency_key_reused', param: 'Idempotency-Key' });
    const infer = (inputs: string) => edge.post('/hf/feature-extraction', { inputs }, key);
    // Keys are the caller's, not the path's.
    expect(await (await infer('hello')).json()).toMatchObject({
      error_type: 'idempotency-key-reused',
    });
    const embed = await edge.post('/v1/embeddings', { input: 'hello' }, key);
    expect(await embed.json()).toMatchObject({
      type: '/problems/idempotency-key-reused',
      error: { code: 'idempotency_key_reused' },
    });
  });

  it('is nobody else’s', async () => {
    const [one, other] = [createKey(), createKey()];
    const keyed = startEdge({ env: { ALLOW_ANONYMOUS: '' } });
    for (const key of [one, other]) {
      const record = { name: 'test', scopes: ['text'], created_at: 0 };
      await testEnv.KEYS?.put(await keyName(key), JSON.stringify(record));
    }
    const key = newKey();
    const send = (of: string, bytes: Uint8Array) =>
      keyed.post('/v1/captions', bytes, { ...png, ...key, authorization: `Bearer ${of}` });
    const first = await send(one, image);
    expect([first.status, isReplayed(first)]).toEqual([200, false]);
    const second = await send(other, newImage());
    expect([second.status, isReplayed(second)]).toEqual([200, false]);
    expect((await send(one, newImage())).status).toBe(422);
  });
});

describe('a reply that fails', () => {
  it('is stored where the request is wrong', async () => {
    const key = newKey();
    const send = () => edge.post('/v1/captions', { image: { data: base64(image) }, n: 0 }, key);
    const [first, second] = [await send(), await send()];
    expect([first.status, second.status]).toEqual([400, 400]);
    expect([isReplayed(first), isReplayed(second)]).toEqual([false, true]);
    expect(await second.text()).toBe(await first.text());
  });

  it('is not stored where the service fails, refuses for now, or lacks the image', async () => {
    for (const slug of ['overloaded', 'too-many-requests', 'computation-failed'] as const) {
      const key = newKey();
      edge.gpu.script.refuse = new ApiError(slug, 'Not now.');
      expect((await caption(key)).status).toBeGreaterThanOrEqual(429);
      edge.gpu.script.refuse = null;
      const again = await caption(key);
      expect([again.status, isReplayed(again)]).toEqual([200, false]);
    }
  });

  it('is not stored where the image is not known yet', async () => {
    const key = newKey();
    const sha256 = await imageIdOf(image);
    const byHash = () => edge.post('/v1/captions', { image: { sha256 } }, key);
    expect((await byHash()).status).toBe(404);
    const otherEdge = startEdge();
    await (await otherEdge.post('/v1/embeddings', image, png)).text();
    await otherEdge.settled();
    const reply = await byHash();
    expect(isReplayed(reply)).toBe(false);
    expect(reply.status).toBe(200);
  });

  it('is not stored where a stream breaks', async () => {
    const key = newKey();
    edge.gpu.script.breakOff = true;
    const broken = await eventsOf(await caption(key, '?stream=true'));
    expect(broken.at(-1)?.event).toBe('error');
    edge.gpu.script.breakOff = false;
    const again = await caption(key, '?stream=true');
    expect(isReplayed(again)).toBe(false);
    expect((await eventsOf(again)).at(-1)?.event).toBe('done');
  });

  it('is not stored where the body was not read', async () => {
    const key = newKey();
    const large = () => edge.post('/v1/captions', new Uint8Array(300_000), { ...png, ...key });
    expect((await large()).status).toBe(413);
    expect(isReplayed(await caption(key))).toBe(false);
    // Now the key is taken, and what is too large is not read to its end to be compared.
    expect((await large()).status).toBe(413);
  });
});

describe('the header', () => {
  it.each([
    ['', 'must be one key'],
    ['" "', 'must be one key'],
    ['""', 'must be one key'],
    ['a, b', 'must be one key'],
    ['a,b', 'must be one key'],
    ['"a" "b"', 'must be one key'],
    ['"a";b=1', 'must be one key'],
    ['ключ'.replace(/./g, 'é'), 'must be one key'],
    ['x'.repeat(256), 'at most 255'],
  ])('%s is refused', async (value, detail) => {
    const reply = await caption({ 'idempotency-key': value });
    expect(reply.status).toBe(400);
    const problem = Problem.parse(await reply.json());
    expect(problem.field).toBe('Idempotency-Key');
    expect(problem.detail).toContain(detail);
    expect(edge.gpu.received).toHaveLength(0);
  });

  it('may be quoted, as the draft has it, or bare', async () => {
    const key = crypto.randomUUID();
    await (await caption({ 'idempotency-key': `"${key}"` })).text();
    expect(isReplayed(await caption({ 'idempotency-key': key }))).toBe(true);
    const longest = { 'idempotency-key': `"${'\\"'.repeat(120)}${key.slice(0, 30)}"` };
    expect((await caption(longest)).status).toBe(200);
    expect(isReplayed(await caption(longest))).toBe(true);
  });

  it('is refused where no Durable Object is bound, never ignored', async () => {
    edge = startEdge({ env: { IDEMPOTENCY: undefined as never } });
    const reply = await caption(newKey());
    expect(reply.status).toBe(400);
    const { type, detail } = Problem.parse(await reply.json());
    expect(type).toBe('/problems/unsupported-parameter');
    expect(detail).toContain('IDEMPOTENCY');
    expect((await caption({})).status).toBe(200);
  });
});

describe('the object', () => {
  const sends =
    (make: () => RunReply): Run['execute'] =>
    (receive) =>
      receive(make());
  const open = () => {
    const object = namespace.get(namespace.idFromName(crypto.randomUUID()));
    // Its functions as the object gets them: by calls back to here.
    const run = (key: string, given: Partial<Run>): Promise<Outcome> =>
      object.run(
        key,
        'head',
        {
          execute: sends(() => written([])),
          executedDigest: async () => 'digest',
          digest: async () => 'digest',
          isGone: async () => false,
          ...given,
        },
        0,
      );
    return { object, run };
  };
  const written = (chunks: Uint8Array<ArrayBuffer>[], status = 200) => {
    const { readable, writable } = new IdentityTransformStream();
    const body = new Blob(chunks).stream();
    body.pipeTo(writable).catch(() => {});
    return {
      status,
      headers: [],
      body: readable,
      lastEvent: null,
      subject: async () => ({ images: [], named: null }),
      isFinal: async () => true,
    };
  };
  const textOf = async (outcome: Outcome) =>
    'response' in outcome ? await outcome.response.text() : outcome.kind;

  it('lets the next one run where the first ended without a reply, and says so to who waits', async () => {
    const { object, run } = open();
    const outcomes = await runInDurableObject(object, async (instance) => {
      const gate = Promise.withResolvers<never>();
      const [executedDigest, digest] = [async () => 'digest', async () => 'digest'];
      const isGone = async () => false;
      const given = { execute: () => gate.promise, executedDigest, digest, isGone };
      const both = [instance.run('a', 'head', given, 0), instance.run('a', 'head', given, 0)];
      gate.reject(new Error('the isolate is gone'));
      return (await Promise.all(both)).map(({ kind }) => kind);
    });
    expect(outcomes).toEqual(['broken', 'broken']);
    const next = await run('a', { execute: sends(() => written([new Uint8Array([104, 105])])) });
    expect(next.kind).toBe('first');
    expect(await textOf(next)).toBe('hi');
  });

  /** What two get, one after the other, of a reply that breaks after its first byte. */
  const breaking = async (lastEvent: string | null) => {
    const { run } = open();
    const { readable, writable } = new IdentityTransformStream();
    const writer = writable.getWriter();
    const first = run('a', {
      execute: sends(() => ({ ...written([]), body: readable, lastEvent })),
    });
    const second = run('a', {});
    await writer.write(new Uint8Array([104]));
    writer.abort(new Error('gone')).catch(() => {});
    const texts = await Promise.all([first, second].map(async (reply) => textOf(await reply)));
    const next = await run('a', {});
    await textOf(next);
    return { texts, next: next.kind };
  };

  it('stores nothing of a body that breaks off, and has a status for who waits', async () => {
    expect(await breaking(null)).toEqual({ texts: ['broken', 'broken'], next: 'first' });
  });

  it('runs the next one that waits where the first ended before its body had come', async () => {
    const { run } = open();
    const digest = Promise.withResolvers<never>();
    const gate = Promise.withResolvers<never>();
    const first = run('a', { execute: () => gate.promise, executedDigest: () => digest.promise });
    const rest = ['b', 'c'].map((text) =>
      run('a', { execute: sends(() => written([new Uint8Array([text.charCodeAt(0)])])) }),
    );
    for (const { promise, reject } of [digest, gate]) {
      promise.catch(() => {});
      reject(new Error('the isolate is gone'));
    }
    expect((await first).kind).toBe('broken');
    const all = await Promise.all(rest);
    expect(all.map(({ kind }) => kind).sort()).toEqual(['first', 'replayed']);
    const texts = await Promise.all(all.map(textOf));
    expect(new Set(texts).size).toBe(1);
  });

  it('ends a stream that breaks off with the event of its dialect, and stores nothing', async () => {
    const texts = ['hevent: error', 'hevent: error'];
    expect(await breaking('event: error')).toEqual({ texts, next: 'first' });
  });

  it('sends a reply that is too large to store, and runs the next one', async () => {
    const { run } = open();
    const large = Array.from({ length: 3 }, (_, i) => new Uint8Array(2 ** 20).fill(i));
    const execute = sends(() => written(large));
    const first = await run('a', { execute });
    const body = 'response' in first ? new Uint8Array(await first.response.arrayBuffer()) : null;
    expect(body?.length).toBe(3 * 2 ** 20);
    expect([body?.at(0), body?.at(2 ** 20), body?.at(-1)]).toEqual([0, 1, 2]);
    const second = await run('a', { execute });
    expect(second.kind).toBe('first');
    await textOf(second);
  });

  it('deletes what is a day old', async () => {
    const { object, run } = open();
    await textOf(await run('a', { execute: sends(() => written([new Uint8Array([1])])) }));
    expect((await run('a', {})).kind).toBe('replayed');
    const passed = (ms: number) =>
      runInDurableObject(object, (_, { storage }) => {
        storage.sql.exec('UPDATE replies SET expires_at = expires_at - ?', ms);
      });
    const tables = () =>
      runInDurableObject(object, (_, { storage }) =>
        storage.sql.exec("SELECT name FROM sqlite_master WHERE name = 'replies'").toArray(),
      );
    expect(await tables()).toHaveLength(1);
    await passed(86_000_000);
    expect((await run('a', {})).kind).toBe('replayed');
    await passed(400_000);
    expect(await runDurableObjectAlarm(object)).toBe(true);
    expect(await tables()).toEqual([]);
    expect(await runDurableObjectAlarm(object)).toBe(false);
    const anew = await run('a', { execute: sends(() => written([new Uint8Array([2])])) });
    expect(anew.kind).toBe('first');
    await textOf(anew);
    expect((await run('a', {})).kind).toBe('replayed');
  });

  it('takes no room where nothing is stored', async () => {
    const { object, run } = open();
    const failed = {
      ...written([new Uint8Array([1])]),
      subject: async () => ({ images: [], named: null }),
      isFinal: async () => false,
    };
    await textOf(await run('a', { execute: sends(() => failed) }));
    const tables = await runInDurableObject(object, (_, { storage }) =>
      storage.sql.exec("SELECT name FROM sqlite_master WHERE name = 'replies'").toArray(),
    );
    expect(tables).toEqual([]);
  });

  it('drops the oldest replies for which there is no room, and never runs what was done again', async () => {
    const { run } = open();
    const large = (key: string) =>
      run(key, { execute: sends(() => written([new Uint8Array(2 ** 20 - 100)])) });
    await textOf(await run('small', { execute: sends(() => written([new Uint8Array(10)])) }));
    for (let i = 0; i < 12; i++) {
      const { kind } = await large(`k${i}`);
      expect(kind).toBe('first');
      await vi.waitUntil(async () => (await run(`k${i}`, {})).kind === 'replayed');
    }
    const again = async (key: string) => (await run(key, {})).kind;
    expect(await again('k0')).toBe('dropped');
    expect(await again('k11')).toBe('replayed');
    // Large ones push out no small one.
    expect(await again('small')).toBe('replayed');
    expect((await run('k0', { digest: async () => 'another body' })).kind).toBe('reused');
  });

  it('runs what was dropped anew where its image was deleted', async () => {
    const { object, run } = open();
    await textOf(await run('a', { execute: sends(() => written([new Uint8Array([1])])) }));
    await runInDurableObject(object, (_, { storage }) => {
      storage.sql.exec("UPDATE replies SET body = x'', headers = '', dropped = 1, named = 'gone'");
    });
    expect((await run('a', {})).kind).toBe('dropped');
    expect((await run('a', { isGone: async () => true })).kind).toBe('first');
  });
});

describe('keys for which there is no room', () => {
  const now = Date.now();
  const MINUTE = 60_000;
  const keysOf = async (fill: (replies: StoredReplies) => void) => {
    const object = namespace.get(namespace.idFromName(crypto.randomUUID()));
    return await runInDurableObject(object, (_, { storage }) => {
      const replies = new StoredReplies(storage.sql, { keys: 8, bytes: 2 ** 20 });
      fill(replies);
      const keys = storage.sql.exec<{ key: string }>('SELECT key FROM replies').toArray();
      // Counts what is there as it has counted what came.
      const wait = replies.msUntilRoom(now);
      expect(new StoredReplies(storage.sql, { keys: 8, bytes: 2 ** 20 }).msUntilRoom(now)).toBe(
        wait,
      );
      return { wait, keys: keys.map(({ key }) => key) };
    });
  };
  const put = (replies: StoredReplies, key: string, status: number, ageMs: number) =>
    replies.put(
      key,
      { head: 'head', body: 'digest' },
      { status, headers: [] },
      new Uint8Array(1),
      { images: [], named: null },
      now - ageMs,
    );

  it('are refused no longer than ten minutes', async () => {
    const { wait } = await keysOf((replies) => {
      for (let i = 0; i < 8; i++) put(replies, `k${i}`, 200, (9 - i / 8) * MINUTE);
    });
    expect(wait).toBe(MINUTE);
  });

  it('take the place of those of wrong requests, then of those that are older', async () => {
    const left = await keysOf((replies) => {
      put(replies, 'old', 200, 700 * MINUTE);
      put(replies, 'wrong', 400, MINUTE);
      for (let i = 0; i < 6; i++) put(replies, `k${i}`, 200, MINUTE);
      expect(replies.msUntilRoom(now)).toBe(0);
      expect(replies.find('wrong', now)).toBeNull();
      expect(replies.find('old', now)).not.toBeNull();
      put(replies, 'next', 200, 0);
      expect(replies.msUntilRoom(now)).toBe(0);
      expect(replies.find('old', now)).toBeNull();
      put(replies, 'last', 200, 0);
    });
    expect(left.keys).toHaveLength(8);
    expect(left.wait).toBe(9 * MINUTE);
  });
});
