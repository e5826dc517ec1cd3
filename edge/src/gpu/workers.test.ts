/** Several workers behind one edge: who gets a request, and what happens where that one does not serve it. */
import { ApiError, type ProblemSlug } from '@blip2/shared/errors';
import { encodeFrame } from '@blip2/shared/frames';
import { encodeEvent } from '@blip2/shared/gpu-events';
import {
  IMAGE_HEADER,
  REQUEST_SIGNATURE_HEADER,
  SignatureCheck,
} from '@blip2/shared/request-signature';
import type { GpuTask } from '@blip2/shared/wire';
import { describe, expect, it } from 'vitest';
import { bundledModels } from '../bundled-models.ts';
import type { RequestContext } from '../request-context.ts';
import { testContext } from '../testing/edge.ts';
import { GpuWorkers, type GpuWorkersOptions } from './workers.ts';

const EMBED: GpuTask = { kind: 'embed', embedding: 'query' };
const DONE = encodeEvent({ type: 'done', choices: [], timings_ms: {} });
const imageOf = (n: number) => n.toString(16).padStart(64, '0');
const image = (n = 0) =>
  ({ type: 'image', payload: Uint8Array.of(1), imageId: imageOf(n) }) as const;

/** What a worker does with a request that is sent to it. */
type Behavior = (signal: AbortSignal, headers: Headers) => Promise<Response>;
const reply: Behavior = async () => new Response(DONE);
const refuse =
  (slug: ProblemSlug): Behavior =>
  async () =>
    new Response(encodeEvent({ type: 'error', problem: new ApiError(slug, slug).toProblem() }));
const gone: Behavior = async () => {
  throw new TypeError('refused');
};
const never: Behavior = (signal) =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

/** A pool of workers that do what they are given, its clock, and who got what. */
function poolOf(
  behaviors: Record<string, Behavior>,
  change: Partial<GpuWorkersOptions> = {},
): {
  pool: GpuWorkers;
  behaviors: Record<string, Behavior>;
  ready: Set<string>;
  sent: { to: string; headers: Headers }[];
  probed: string[];
  clock: { now: number };
} {
  const sent: { to: string; headers: Headers }[] = [];
  const probed: string[] = [];
  const ready = new Set(Object.keys(behaviors));
  const clock = { now: 1_000_000 };
  const pool = new GpuWorkers({
    addresses: Object.keys(behaviors).map((name) => ({
      url: `http://${name}.test`,
      weight: 1,
      zone: null,
    })),
    models: bundledModels,
    now: () => clock.now,
    fetch: async (url, init) => {
      const { hostname, pathname } = new URL(url);
      const name = hostname.replace('.test', '');
      const headers = new Headers(init?.headers);
      if (pathname !== '/v1/run') {
        probed.push(name);
        return new Response('{}', { status: ready.has(name) ? 200 : 503 });
      }
      sent.push({ to: name, headers });
      const behave = behaviors[name] as Behavior;
      return await behave(init?.signal as AbortSignal, headers);
    },
    ...change,
  });
  return { pool, behaviors, ready, sent, probed, clock };
}

const contextOf = (change: Partial<RequestContext> = {}) =>
  testContext({ deadlineAt: 1_000_000 + 3_600_000, ...change }).context;
const ask = (pool: GpuWorkers, source = image(), context = contextOf()) =>
  Array.fromAsync(pool.run(EMBED, source, context));

/** The worker that an image belongs to. */
async function homeOf(n: number): Promise<string> {
  const { pool, sent } = poolOf({ a: reply, b: reply, c: reply });
  await ask(pool, image(n));
  return sent[0]?.to ?? '';
}

describe('a request about an image', () => {
  it('goes to the same worker as the one before', async () => {
    const { pool, sent } = poolOf({ a: reply, b: reply, c: reply });
    for (let turn = 0; turn < 3; turn++) {
      for (let n = 0; n < 12; n++) await ask(pool, image(n));
    }
    const owners = sent.map(({ to }) => to);
    expect(owners.slice(0, 12)).toEqual(owners.slice(12, 24));
    expect(owners.slice(0, 12)).toEqual(owners.slice(24));
    expect(new Set(owners)).toEqual(new Set(['a', 'b', 'c']));
  });

  it('names its image for balancers', async () => {
    const { pool, sent } = poolOf({ a: reply });
    await ask(pool, image(7));
    expect(sent[0]?.headers.get(IMAGE_HEADER)).toBe(imageOf(7));
  });

  it('goes elsewhere where its worker has far more than the others', async () => {
    const { pool, behaviors, sent } = poolOf({ a: never, b: never, c: never });
    const leaving = new AbortController();
    const context = contextOf({ signal: leaving.signal });
    const all = Array.from({ length: 12 }, () => ask(pool, image(0), context).catch(() => {}));
    await expect.poll(() => sent.length).toBe(12);
    const counts = Object.keys(behaviors).map(
      (name) => sent.filter(({ to }) => to === name).length,
    );
    // Half again as much as the mean of thirteen.
    expect(Math.max(...counts)).toBeLessThanOrEqual(7);
    leaving.abort();
    await Promise.all(all);
  });

  it('from a continent goes to a worker there first', async () => {
    const { pool, sent } = poolOf(
      { a: reply, b: reply },
      {
        addresses: [
          { url: 'http://a.test', weight: 1, zone: 'EU' },
          { url: 'http://b.test', weight: 1, zone: 'NA' },
        ],
      },
    );
    for (let n = 0; n < 8; n++) await ask(pool, image(n), contextOf({ zone: 'NA' }));
    expect(new Set(sent.map(({ to }) => to))).toEqual(new Set(['b']));
  });
});

describe('a worker that does not serve', () => {
  it.each([
    ['is gone', gone],
    ['says that it is shutting down', refuse('shutting-down')],
    ['says that it cannot serve', refuse('worker-unavailable')],
    ['serves another revision', refuse('model-mismatch')],
  ])('and %s costs nobody a reply, and is passed over', async (_, behavior) => {
    const home = await homeOf(0);
    const { pool, sent } = poolOf({ a: reply, b: reply, c: reply, [home]: behavior });
    expect(await ask(pool)).toHaveLength(1);
    expect(sent.map(({ to }) => to)).toEqual([home, expect.not.stringMatching(home)]);
    expect(await ask(pool)).toHaveLength(1);
    expect(sent[2]?.to).toBe(sent[1]?.to);
  });

  it('gets its images again once it says that it is ready', async () => {
    const home = await homeOf(0);
    const { pool, behaviors, ready, sent, probed, clock } = poolOf({
      a: reply,
      b: reply,
      c: reply,
    });
    behaviors[home] = gone;
    ready.delete(home);
    await ask(pool);
    clock.now += 1000;
    await ask(pool);
    // It was asked, and is not ready.
    await expect.poll(() => probed).toEqual([home]);
    behaviors[home] = reply;
    ready.add(home);
    clock.now += 60_000;
    await ask(pool);
    await expect.poll(() => probed).toEqual([home, home]);
    const before = sent.length;
    await ask(pool);
    expect(sent[before]?.to).toBe(home);
  });

  it.each<ProblemSlug>(['invalid-image', 'too-many-requests', 'prompt-too-long'])(
    'because of the request itself is not asked twice: %s',
    async (slug) => {
      const { pool, sent } = poolOf({ a: refuse(slug), b: refuse(slug), c: refuse(slug) });
      await expect(ask(pool)).rejects.toMatchObject({ slug });
      expect(sent).toHaveLength(1);
    },
  );

  it('and those that serve another revision are passed over, however many they are', async () => {
    const other = refuse('model-mismatch');
    const { pool, behaviors, sent } = poolOf({ a: other, b: other, c: other, d: other });
    await ask(pool).catch(() => {});
    const [last] = sent.slice(-1);
    const again = poolOf({ ...behaviors, [last?.to ?? '']: reply });
    expect(await ask(again.pool)).toHaveLength(1);
    expect(again.sent).toHaveLength(4);
  });

  it('is tried at one other at most', async () => {
    const { pool, sent } = poolOf({ a: gone, b: gone, c: gone });
    await expect(ask(pool)).rejects.toMatchObject({ slug: 'worker-unavailable' });
    expect(sent).toHaveLength(2);
  });

  it('after its first event ends the reply with the problem', async () => {
    const info = encodeEvent({
      type: 'imageInfo',
      image: { width: 1, height: 1, format: 'png' },
    });
    const cut: Behavior = async () => new Response(info);
    const { pool, sent } = poolOf({ a: cut, b: cut });
    await expect(ask(pool)).rejects.toMatchObject({ slug: 'worker-unavailable' });
    expect(sent).toHaveLength(1);
  });
});

it('what is served is what a worker of this edge’s revision says, if there is one', async () => {
  const { revision, preprocessing: own } = bundledModels.generate;
  const of = (models: Record<string, { revision: string; preprocessing?: string }>) =>
    poolOf(
      { a: reply, b: reply },
      {
        fetch: async (url) => {
          const name = new URL(url).hostname.replace('.test', '');
          return Response.json({
            ...{ name: 'm', precision: 'fp32', execution_provider: 'cpu' },
            fingerprint: 'f'.repeat(32),
            ...models[name],
          });
        },
      },
    ).pool;
  const other = { revision: '0'.repeat(64) };
  expect((await of({ a: other, b: { revision } }).model()).revision).toBe(revision);
  expect((await of({ a: { revision }, b: other }).model()).revision).toBe(revision);
  expect((await of({ a: other, b: other }).model()).revision).toBe(other.revision);
  // While a precision changes there are workers of both.
  const models = { a: { revision, preprocessing: 'another' }, b: { revision, preprocessing: own } };
  expect((await of(models).model()).preprocessing).toBe(own);
});

describe('a request that is slower than nearly all', () => {
  const slowly =
    (ms: number): Behavior =>
    async (signal) => {
      await Promise.race([
        new Promise((resolve) => setTimeout(resolve, ms)),
        never(signal, new Headers()),
      ]);
      return new Response(DONE);
    };

  it('is sent to a second worker, and the first reply counts, where that is wanted', async () => {
    const home = await homeOf(0);
    const { pool, behaviors, sent } = poolOf(
      { a: reply, b: reply, c: reply },
      { hedges: true, now: Date.now },
    );
    const context = () => contextOf({ deadlineAt: Date.now() + 60_000, startedAt: Date.now() });
    for (let n = 0; n < 70; n++) await ask(pool, image(0), context());
    let canceled = 0;
    behaviors[home] = (signal, headers) => {
      signal.addEventListener('abort', () => canceled++);
      return slowly(60_000)(signal, headers);
    };
    const before = sent.length;
    expect(await ask(pool, image(0), context())).toHaveLength(1);
    expect(sent.slice(before).map(({ to }) => to)).toEqual([home, expect.not.stringMatching(home)]);
    expect(canceled).toBe(0);
  });

  it('waits for its worker otherwise', async () => {
    const { pool, behaviors, sent } = poolOf({ a: reply, b: reply }, { now: Date.now });
    const context = () => contextOf({ deadlineAt: Date.now() + 60_000, startedAt: Date.now() });
    for (let n = 0; n < 70; n++) await ask(pool, image(0), context());
    for (const name of ['a', 'b']) behaviors[name] = slowly(200);
    const before = sent.length;
    await ask(pool, image(0), context());
    expect(sent).toHaveLength(before + 1);
  });
});

describe('with a secret', () => {
  const secret = 'a secret that nobody can guess, of 40 letters';

  it('requests are signed, of runs and of all else', async () => {
    const check = new SignatureCheck([secret], () => 1_000_000);
    const outcomes: unknown[] = [];
    const { pool } = poolOf(
      { a: reply },
      {
        secret,
        fetch: async (url, init) => {
          const { pathname } = new URL(url);
          const { method = 'GET', headers, body } = init ?? {};
          const length = body instanceof Blob ? body.size : 0;
          const request = { method, path: pathname, headers: new Headers(headers), length };
          outcomes.push(await check.rejection(request));
          return pathname === '/v1/run' ? new Response(DONE) : new Response('{}');
        },
      },
    );
    await ask(pool);
    await pool.isReady();
    expect(outcomes).toEqual([null, null]);
  });

  it('a worker that refuses the signature is the operator’s to mend, not the caller’s', async () => {
    const { pool } = poolOf(
      {
        a: async () =>
          Response.json(new ApiError('invalid-key', 'no').toProblem(), { status: 401 }),
      },
      { secret },
    );
    await expect(ask(pool)).rejects.toMatchObject({
      slug: 'bad-gateway',
      message: expect.stringContaining('GPU_WORKER_SECRET'),
    });
  });

  it('none is sent where there is none', async () => {
    const { pool, sent } = poolOf({ a: reply });
    await ask(pool);
    expect(sent[0]?.headers.has(REQUEST_SIGNATURE_HEADER)).toBe(false);
  });
});

it('frames of a reply that nobody reads end with it', async () => {
  const { pool } = poolOf({
    a: async () => new Response(encodeFrame('error', new Uint8Array(3))),
  });
  await expect(ask(pool)).rejects.toMatchObject({ slug: 'bad-gateway' });
});

describe('very many requests', () => {
  it('that wait for a worker that has gone ask whether it is there again through one of them', async () => {
    const { pool, behaviors, ready, probed } = poolOf(
      { a: gone },
      { restartMs: 10_000, now: Date.now },
    );
    ready.delete('a');
    const context = contextOf({ deadlineAt: Date.now() + 60_000 });
    const asked = Array.from({ length: 20 }, (_, n) => ask(pool, image(n), context));
    await expect.poll(() => probed.length).toBe(2);
    behaviors.a = reply;
    ready.add('a');
    for (const events of await Promise.all(asked)) expect(events).toHaveLength(1);
    expect(probed).toHaveLength(3);
  });

  it('are refused beyond those that each worker may have, without a word to it', async () => {
    const { pool, sent } = poolOf({ a: never, b: never }, { requestsPerWorker: 3 });
    const end = new AbortController();
    const context = contextOf({ signal: end.signal });
    const ended = Promise.allSettled(
      Array.from({ length: 50 }, (_, n) =>
        ask(pool, image(n), { ...context, client: `client ${n}` }),
      ),
    );
    const room = (client: string) => pool.refusal({ client })?.slug ?? 'room';
    await expect.poll(() => room('new')).toBe('overloaded');
    await expect(ask(pool, image(99), contextOf({ client: 'new' }))).rejects.toMatchObject({
      slug: 'overloaded',
    });
    expect(sent.filter(({ to }) => to === 'a')).toHaveLength(3);
    expect(sent.filter(({ to }) => to === 'b')).toHaveLength(3);
    end.abort();
    await ended;
    expect(room('new')).toBe('room');
  });

  it('of one client are half of those that a worker may have: others find room', async () => {
    const { pool, sent } = poolOf({ a: never }, { requestsPerWorker: 10 });
    const end = new AbortController();
    const greedy = contextOf({ signal: end.signal, client: 'greedy' });
    const ended = Promise.allSettled(
      Array.from({ length: 50 }, (_, n) => ask(pool, image(n), greedy)),
    );
    await expect.poll(() => sent.length).toBe(5);
    await expect(ask(pool, image(99), greedy)).rejects.toMatchObject({
      slug: 'too-many-requests',
      extras: { limit: 5, retry_after: 1 },
    });
    expect(pool.refusal({ client: 'greedy' })?.message).toContain('5 requests under way');
    expect(pool.refusal({ client: 'other' })).toBeNull();
    end.abort();
    await ended;
    expect(pool.refusal({ client: 'greedy' })).toBeNull();
  });

  it('of a client that is gone count no longer, also where nothing of them ever ends', async () => {
    // As of a request that the platform has stopped: neither its reply nor an error comes, and no code of its own runs.
    const stopped: Behavior = () => new Promise(() => {});
    const { pool, sent } = poolOf({ a: stopped }, { requestsPerWorker: 10 });
    const reset = new AbortController();
    const greedy = contextOf({ signal: reset.signal, client: 'greedy' });
    for (let n = 0; n < 5; n++) ask(pool, image(n), greedy).catch(() => {});
    await expect.poll(() => sent.length).toBe(5);
    expect(pool.refusal({ client: 'greedy' })?.slug).toBe('too-many-requests');
    reset.abort();
    expect(pool.refusal({ client: 'greedy' })).toBeNull();
  });

  it('that never end count to their deadline, and a little longer', async () => {
    const stopped: Behavior = () => new Promise(() => {});
    const { pool, sent, clock } = poolOf({ a: stopped }, { requestsPerWorker: 2 });
    const context = contextOf({ client: 'greedy', deadlineAt: 1_030_000 });
    ask(pool, image(), context).catch(() => {});
    await expect.poll(() => sent.length).toBe(1);
    expect(pool.refusal({ client: 'greedy' })?.slug).toBe('too-many-requests');
    clock.now = 1_035_000;
    expect(pool.refusal({ client: 'greedy' })).toBeNull();
  });

  it('go to another worker where the one that they prefer has all that it may have', async () => {
    const { pool, sent } = poolOf({ a: never, b: never }, { requestsPerWorker: 8 });
    const end = new AbortController();
    const from = (client: string) => contextOf({ signal: end.signal, client });
    // Of one image as many as fill both: its own worker is full before it has half again as much as both have on average.
    const ended = Array.from({ length: 16 }, (_, n) => ask(pool, image(1), from(`client ${n}`)));
    await expect.poll(() => sent.length).toBe(16);
    expect(sent.filter(({ to }) => to === 'a')).toHaveLength(8);
    end.abort();
    await Promise.allSettled(ended);
  });

  it('of one client go to another worker where it has its share of the one that they prefer', async () => {
    const { pool, sent } = poolOf({ a: never, b: never }, { requestsPerWorker: 8 });
    const end = new AbortController();
    const greedy = contextOf({ signal: end.signal, client: 'greedy' });
    const ended = Array.from({ length: 8 }, () => ask(pool, image(1), greedy));
    await expect.poll(() => sent.length).toBe(8);
    expect(sent.filter(({ to }) => to === 'a')).toHaveLength(4);
    end.abort();
    await Promise.allSettled(ended);
  });

  it('are refused where those that are there are full, though others are gone', async () => {
    const { pool, sent, ready } = poolOf({ a: never, b: gone }, { requestsPerWorker: 2 });
    ready.delete('b');
    const end = new AbortController();
    const ended = Array.from({ length: 2 }, (_, n) =>
      ask(pool, image(n), contextOf({ signal: end.signal, client: `client ${n}` })),
    );
    await expect.poll(() => sent.filter(({ to }) => to === 'a').length).toBe(2);
    // Whether the other one is there is not known before somebody was sent to it.
    for (let n = 2; n < 10; n++)
      await ask(pool, image(n), contextOf({ client: `${n}` })).catch(() => {});
    expect(pool.refusal({ client: 'new' })?.slug).toBe('overloaded');
    end.abort();
    await Promise.allSettled(ended);
  });
});
