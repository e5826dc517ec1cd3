/** The client against replies byte by byte, as a worker, a proxy or a broken connection may send them. */
import { ApiError, type ProblemSlug } from '@blip2/shared/errors';
import { decodeJson, encodeFrame, encodeJsonFrame, readFrames } from '@blip2/shared/frames';
import { encodeEvent, type GpuEvent } from '@blip2/shared/gpu-events';
import type { GpuTask } from '@blip2/shared/wire';
import { describe, expect, it } from 'vitest';
import { bundledModels } from '../bundled-models.ts';
import type { Platform } from '../platform.ts';
import type { RequestContext } from '../request-context.ts';
import { testContext } from '../testing/edge.ts';
import { generative, retrieval } from '../testing/models.ts';
import { GpuWorkers, type GpuWorkersOptions } from './workers.ts';

const NOW = 1_000_000;

const clientOf = (fetch: Platform['fetch'], change: Partial<GpuWorkersOptions> = {}) =>
  new GpuWorkers({
    addresses: [{ url: 'http://gpu.test', weight: 1, zone: null }],
    models: bundledModels,
    fetch,
    now: () => NOW,
    ...change,
  });

const contextOf = (change: Partial<RequestContext> = {}) =>
  testContext({ deadlineAt: NOW + 5000, ...change }).context;

const EMBED: GpuTask = { kind: 'embed', embedding: 'query' };
const IMAGE = { type: 'image', payload: Uint8Array.of(1, 2, 3) } as const;

/** All events of a task, of a worker that replies so. */
const run = (fetch: Platform['fetch'], context = contextOf()) =>
  Array.fromAsync(clientOf(fetch).run(EMBED, IMAGE, context));

const info: GpuEvent = { type: 'imageInfo', image: { width: 3, height: 2, format: 'png' } };
const done: GpuEvent = { type: 'done', choices: [], timings_ms: {} };
const bytesOf = (...events: GpuEvent[]) => events.map(encodeEvent);
const replying =
  (...chunks: Uint8Array[]): Platform['fetch'] =>
  async () =>
    new Response(
      new ReadableStream<Uint8Array>({
        start(controller) {
          for (const chunk of chunks) controller.enqueue(chunk);
          controller.close();
        },
      }),
    );

const refused = (slug: ProblemSlug) => expect.objectContaining({ name: 'ApiError', slug });

describe('a request', () => {
  const received = async (task: GpuTask, context: RequestContext) => {
    const requests: Request[] = [];
    const fetch: Platform['fetch'] = async (url, init) => {
      requests.push(new Request(url, init));
      return replying(...bytesOf(done))(url);
    };
    await Array.fromAsync(clientOf(fetch).run(task, IMAGE, context));
    const body = requests[0]?.body as ReadableStream<Uint8Array>;
    const [head, source] = await Array.fromAsync(readFrames(body));
    return { head: decodeJson(head?.payload ?? new Uint8Array()), source };
  };

  it('has the task, its source, the client and the deadline', async () => {
    const context = contextOf({ requestId: 'abc', client: '203.0.113.7', deadlineAt: NOW + 1234 });
    const { head, source } = await received(EMBED, context);
    expect(head).toEqual({
      ...EMBED,
      request_id: 'abc',
      revision: generative.revision,
      preprocessing: generative.preprocessing,
      deadline_ms: 1234,
      client: '203.0.113.7',
    });
    expect(source?.payload.slice()).toEqual(IMAGE.payload);
  });

  it.each<[GpuTask, typeof retrieval | typeof generative]>([
    [{ kind: 'embed', embedding: 'itc' }, retrieval],
    [{ kind: 'match', texts: [[1, 2]] }, retrieval],
    [EMBED, generative],
  ])('for %j has revision and preprocessing of the model that serves it', async (task, model) => {
    const { revision, preprocessing } = model;
    expect((await received(task, contextOf())).head).toMatchObject({ revision, preprocessing });
  });

  it('says of which trace it is: that of the caller, or one that nobody records', async () => {
    const headers: (string | null)[] = [];
    const fetch: Platform['fetch'] = async (url, init) => {
      headers.push(new Request(url, init).headers.get('traceparent'));
      return replying(...bytesOf(done))(url);
    };
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    const trace = { traceId, spanId: 'b7ad6b7169203331', isSampled: true };
    await run(fetch, contextOf({ trace }));
    await run(fetch);
    expect(headers).toEqual([
      `00-${traceId}-b7ad6b7169203331-01`,
      expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/),
    ]);
  });

  it('is not sent when its time is over', async () => {
    const fetch = () => Promise.reject(new Error('never'));
    const late = contextOf({ deadlineAt: NOW });
    await expect(run(fetch, late)).rejects.toEqual(refused('deadline-exceeded'));
  });

  it('is not sent when no model serves it', async () => {
    const fetch = () => Promise.reject(new Error('never'));
    const client = clientOf(fetch, { models: { generate: generative } });
    const events = client.run({ kind: 'embed-texts', texts: [[1]] }, null, contextOf());
    await expect(events.next()).rejects.toEqual(refused('no-retrieval-model'));
  });
});

describe('a reply', () => {
  it('is its events, until it is done', async () => {
    const frames = bytesOf(info, done);
    expect(await run(replying(...frames, Uint8Array.of(9, 9)))).toEqual([info, done]);
  });

  it.each<[string, Uint8Array[], boolean]>([
    ['at once', [], false],
    ['with bytes that are no frame', [Uint8Array.of(9, 9)], false],
    ['with another frame', bytesOf(info), true],
  ])('that ends %s is read to its end, for the sake of its connection', async (_, more, isLeft) => {
    const closed = { isRead: false, isCanceled: false };
    const chunks = [...bytesOf(info, done), ...more];
    const body = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          const chunk = chunks.shift();
          if (chunk !== undefined) return controller.enqueue(chunk);
          closed.isRead = true;
          controller.close();
        },
        cancel() {
          closed.isCanceled = true;
        },
      },
      { highWaterMark: 0 },
    );
    expect(await run(async () => new Response(body))).toEqual([info, done]);
    expect(closed).toEqual(
      isLeft ? { isRead: false, isCanceled: true } : { isRead: true, isCanceled: false },
    );
  });

  it('that is done and does not end is left', async () => {
    let isCanceled = false;
    const fetch: Platform['fetch'] = async (_url, init) =>
      new Response(
        new ReadableStream<Uint8Array>({
          start(controller) {
            for (const chunk of bytesOf(info, done)) controller.enqueue(chunk);
            init?.signal?.addEventListener('abort', () => {
              isCanceled = true;
              controller.error(init.signal?.reason);
            });
          },
        }),
      );
    expect(await run(fetch)).toEqual([info, done]);
    expect(isCanceled).toBe(true);
  });

  const [infoFrame = new Uint8Array()] = bytesOf(info);
  const otherVersion = infoFrame.slice();
  otherVersion[1] = 1;
  const overloaded = new ApiError('overloaded', 'busy', { retry_after: 3 });

  it.each<[string, Uint8Array[], ProblemSlug]>([
    ['that ends inside a frame', [infoFrame.slice(0, -1)], 'worker-unavailable'],
    ['that ends inside a header', [infoFrame, Uint8Array.of(6, 2, 0)], 'worker-unavailable'],
    ['that ends before it is done', [infoFrame], 'worker-unavailable'],
    ['without a byte', [], 'worker-unavailable'],
    ['of another version', [otherVersion], 'bad-gateway'],
    ['with a frame of an unknown type', [Uint8Array.of(99, 2, 0, 0, 0, 0, 0, 0)], 'bad-gateway'],
    ['with a frame that is too large', [Uint8Array.of(2, 2, 0, 0, 0, 0, 0, 255)], 'bad-gateway'],
    ['with a frame of a request', [encodeFrame('image', new Uint8Array())], 'bad-gateway'],
    ['with JSON of another shape', [encodeJsonFrame('done', { choices: 1 })], 'bad-gateway'],
    ['with text for JSON', [encodeFrame('done', Uint8Array.of(123))], 'bad-gateway'],
    ['with half a token', [encodeFrame('tokens', new Uint8Array(5))], 'bad-gateway'],
    ['of no frames', [new TextEncoder().encode('<html>hello</html>')], 'bad-gateway'],
    [
      'with a problem',
      bytesOf(info, { type: 'error', problem: overloaded.toProblem() }),
      'overloaded',
    ],
  ])('%s is a problem', async (_what, chunks, slug) => {
    await expect(run(replying(...chunks))).rejects.toEqual(refused(slug));
  });

  it('that breaks off is a broken connection, whatever the name of the error', async () => {
    const thrown = new Error('reset');
    thrown.name = 'FrameError';
    const breakingOff = async () =>
      new Response(
        new ReadableStream<Uint8Array>({
          pull: (controller) => controller.error(thrown),
        }),
      );
    await expect(run(breakingOff)).rejects.toMatchObject({ slug: 'worker-unavailable' });
  });

  const json = (value: unknown, status: number) => Response.json(value, { status });
  it.each<[string, () => Response, ProblemSlug]>([
    ['a problem of the worker', () => json(overloaded.toProblem(), 503), 'overloaded'],
    ['a refusal that is cut off', () => new Response('{', { status: 429 }), 'too-many-requests'],
    ['a page of a proxy', () => new Response('<html>', { status: 502 }), 'worker-unavailable'],
    ['a redirect', () => new Response(null, { status: 302 }), 'bad-gateway'],
    ['a page of Access', () => new Response('<html>', { status: 403 }), 'bad-gateway'],
    [
      'an unknown problem',
      () => json({ type: '/problems/new', title: '', status: 418, detail: '' }, 418),
      'bad-gateway',
    ],
    [
      'a path that does not exist',
      () => json(new ApiError('not-found', 'x').toProblem(), 404),
      'bad-gateway',
    ],
  ])('that is %s instead of frames is a problem', async (_what, reply, slug) => {
    await expect(run(async () => reply())).rejects.toEqual(refused(slug));
  });

  it('that never comes is given up after the deadline', async () => {
    const never: Platform['fetch'] = (_url, init) =>
      new Promise((_resolve, reject) => {
        init?.signal?.addEventListener('abort', () => reject(init.signal?.reason));
      });
    const client = clientOf(never, { graceMs: 0 });
    const events = client.run(EMBED, IMAGE, contextOf({ deadlineAt: NOW + 1 }));
    await expect(events.next()).rejects.toEqual(refused('deadline-exceeded'));
  });

  it('is canceled when its reader leaves', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(infoFrame),
      cancel: () => resolve(),
    });
    for await (const event of clientOf(async () => new Response(body)).run(
      EMBED,
      IMAGE,
      contextOf(),
    )) {
      expect(event).toEqual(info);
      break;
    }
    await promise;
  });

  it('ends with the reason of the signal when the client goes away', async () => {
    const client = new AbortController();
    const reason = new Error('the client is gone');
    const fetch: Platform['fetch'] = async (_url, init) =>
      new Response(
        new ReadableStream<Uint8Array>({
          start(controller) {
            controller.enqueue(infoFrame);
            init?.signal?.addEventListener('abort', () => controller.error(init.signal?.reason));
          },
        }),
      );
    const events = clientOf(fetch).run(EMBED, IMAGE, contextOf({ signal: client.signal }));
    expect((await events.next()).value).toEqual(info);
    const next = events.next();
    client.abort(reason);
    await expect(next).rejects.toBe(reason);
  });
});

describe('a probe', () => {
  const model = { name: 'a', revision: 'r', execution_provider: 'cpu' };

  it.each([
    [200, true],
    [503, false],
  ])('of a worker that replies %i reports ready: %s', async (status, isReady) => {
    expect(await clientOf(async () => new Response(null, { status })).isReady()).toBe(isReady);
  });

  it('reports the model that is served', async () => {
    expect(await clientOf(async () => Response.json(model)).model()).toEqual(model);
  });

  it('of a server that is no worker is a bad gateway', async () => {
    const client = clientOf(async () => Response.json({ hello: 1 }));
    await expect(client.model()).rejects.toEqual(refused('bad-gateway'));
  });

  it('of a worker that is gone is worker-unavailable', async () => {
    const client = clientOf(() => Promise.reject(new TypeError('connection refused')));
    await expect(client.isReady()).rejects.toEqual(refused('worker-unavailable'));
    await expect(client.model()).rejects.toEqual(refused('worker-unavailable'));
  });
});

describe('a worker that is killed', () => {
  /** Runs are replied to in turn, and so are probes. */
  const inTurn = (runs: Platform['fetch'][], probes: (() => Promise<Response>)[] = []) => {
    const asked: string[] = [];
    const fetch: Platform['fetch'] = (url, init) => {
      const { pathname } = new URL(url);
      asked.push(pathname);
      const [reply, probe] =
        pathname === '/v1/run' ? [runs.shift()] : [undefined, probes.shift() ?? ready];
      return reply ? reply(url, init) : (probe ?? refuse)();
    };
    return { fetch, asked };
  };
  const ready = async () => new Response('{}');
  const refuse = () => Promise.reject(new TypeError('connection refused'));
  const whole = replying(...bytesOf(info, done));

  it.each<[string, Platform['fetch']]>([
    ['before its reply', refuse],
    ['without a byte of its reply', replying()],
    ['amid the first frame', replying(bytesOf(info)[0]?.slice(0, -1) ?? new Uint8Array())],
  ])('%s costs nobody an answer where another is ready', async (_when, broken) => {
    const { fetch, asked } = inTurn([broken, whole]);
    expect(await run(fetch)).toEqual([info, done]);
    expect(asked).toEqual(['/v1/run', '/readyz', '/v1/run']);
  });

  it('is waited for while it may be starting again', async () => {
    const { fetch, asked } = inTurn([refuse, whole], [refuse, ready]);
    let time = NOW;
    const client = clientOf(fetch, { restartMs: 1000, now: () => time++ });
    expect(await Array.fromAsync(client.run(EMBED, IMAGE, contextOf()))).toEqual([info, done]);
    expect(asked).toEqual(['/v1/run', '/readyz', '/readyz', '/v1/run']);
  });

  it('is not waited for by those who come when that time is over', async () => {
    let time = NOW;
    const asked: string[] = [];
    const fetch: Platform['fetch'] = (url) => {
      asked.push(new URL(url).pathname);
      time += 600;
      return refuse();
    };
    const client = clientOf(fetch, { restartMs: 1000, now: () => time });
    const context = contextOf({ deadlineAt: NOW + 60_000 });
    const ask = () => Array.fromAsync(client.run(EMBED, IMAGE, context));
    await expect(ask()).rejects.toEqual(refused('worker-unavailable'));
    asked.length = 0;
    await expect(ask()).rejects.toEqual(refused('worker-unavailable'));
    expect(asked).toEqual(['/v1/run', '/readyz']);
  });

  it('is asked once more, and not again', async () => {
    const { fetch, asked } = inTurn([refuse, refuse, whole]);
    await expect(run(fetch)).rejects.toEqual(refused('worker-unavailable'));
    expect(asked).toEqual(['/v1/run', '/readyz', '/v1/run']);
  });

  it('after the first event is the end of that reply', async () => {
    const { fetch, asked } = inTurn([replying(...bytesOf(info)), whole]);
    const events = clientOf(fetch).run(EMBED, IMAGE, contextOf());
    expect((await events.next()).value).toEqual(info);
    await expect(events.next()).rejects.toEqual(refused('worker-unavailable'));
    expect(asked).toEqual(['/v1/run']);
  });

  it('is not asked again where it has refused', async () => {
    const error = new ApiError('overloaded', 'busy');
    const { fetch, asked } = inTurn([
      async () => Response.json(error.toProblem(), { status: 503 }),
    ]);
    await expect(run(fetch)).rejects.toEqual(refused('overloaded'));
    expect(asked).toEqual(['/v1/run']);
  });
});

describe('a worker that is silent', () => {
  const soon = { silenceMs: 2, lookMs: 1, answerMs: 5, now: () => Date.now() };
  const never: Platform['fetch'] = (_url, init) =>
    new Promise((_resolve, reject) => {
      init?.signal?.addEventListener('abort', () => reject(init.signal?.reason));
    });
  const later = () => contextOf({ deadlineAt: Date.now() + 60_000 });
  /** Replies so to a run, and so when it is asked whether it is alive. */
  const worker =
    (reply: Platform['fetch'], health: Platform['fetch']): Platform['fetch'] =>
    (url, init) =>
      new URL(url).pathname === '/v1/run' ? reply(url, init) : health(url, init);
  /** Sends one event, and no more until its connection is closed. */
  const stopping: Platform['fetch'] = async (_url, init) =>
    new Response(
      new ReadableStream<Uint8Array>({
        start(controller) {
          for (const bytes of bytesOf(info)) controller.enqueue(bytes);
          init?.signal?.addEventListener('abort', () => controller.error(init.signal?.reason));
        },
      }),
    );

  it.each<[string, Platform['fetch'], Platform['fetch']]>([
    ['before its reply and does not answer', never, never],
    ['amid its reply and does not answer', stopping, never],
    ['and refuses connections', stopping, () => Promise.reject(new TypeError('refused'))],
    ['and says that it hangs', never, async () => new Response('{}', { status: 503 })],
  ])('%s is given up long before the deadline', async (_when, reply, health) => {
    const events = clientOf(worker(reply, health), soon).run(EMBED, IMAGE, later());
    await expect(Array.fromAsync(events)).rejects.toMatchObject({
      slug: 'worker-unavailable',
      message: 'The GPU worker does not answer any more.',
      extras: { retry_after: 5 },
    });
  });

  it('and alive is waited for', async () => {
    const gate = Promise.withResolvers<void>();
    let asked = 0;
    const health: Platform['fetch'] = async () => {
      if (++asked === 3) gate.resolve();
      return new Response('{}');
    };
    const slow: Platform['fetch'] = async (url) => {
      await gate.promise;
      return replying(...bytesOf(info, done))(url);
    };
    const client = clientOf(worker(slow, health), soon);
    expect(await Array.fromAsync(client.run(EMBED, IMAGE, later()))).toEqual([info, done]);
  });

  it.each<[string, Platform['fetch']]>([
    ['has too much to do to answer five questions', never],
    ['drains, and refuses connections', () => Promise.reject(new TypeError('refused'))],
  ])('and %s is waited for', async (_why, health) => {
    const gate = Promise.withResolvers<void>();
    let asked = 0;
    const late: Platform['fetch'] = async (url, init) => {
      asked += 1;
      if (asked <= 5) return await health(url, init);
      gate.resolve();
      return new Response('{}');
    };
    const slow: Platform['fetch'] = async (url, init) => {
      await Promise.race([gate.promise, never(url, init)]);
      return replying(...bytesOf(info, done))(url);
    };
    const client = clientOf(worker(slow, late), soon);
    expect(await Array.fromAsync(client.run(EMBED, IMAGE, later()))).toEqual([info, done]);
  });

  it('is asked by one of many who wait, and given up by all', async () => {
    let asked = 0;
    const health: Platform['fetch'] = (url, init) => {
      asked += 1;
      return never(url, init);
    };
    const client = clientOf(worker(never, health), { ...soon, answerMs: 50 });
    const waiting = Array.from({ length: 20 }, () =>
      Array.fromAsync(client.run(EMBED, IMAGE, later())).catch((error: ApiError) => error.slug),
    );
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['worker-unavailable']));
    // Each for itself would be six times as many as wait.
    expect(asked).toBeLessThan(2 * waiting.length);
  });

  it('is not asked while its reader takes its time', async () => {
    let asked = 0;
    const health: Platform['fetch'] = async () => {
      asked += 1;
      return new Response('{}');
    };
    const events = clientOf(worker(stopping, health), soon).run(EMBED, IMAGE, later());
    await events.next();
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setTimeout(resolve, 2));
    expect(asked).toBe(0);
    await events.return();
  });
});
