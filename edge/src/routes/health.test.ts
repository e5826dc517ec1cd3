import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { bundledModels } from '../bundled-models.ts';
import { startEdge, type TestEdge, type TestSetup, testEnv } from '../testing/edge.ts';

let edge: TestEdge;
beforeEach(() => {
  edge = startEdge();
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

const kvDown: TestSetup = {
  env: {
    EMBEDDINGS: new Proxy(testEnv.EMBEDDINGS, {
      get: () => () => Promise.reject(new Error('KV is down')),
    }),
  },
};

describe('health', () => {
  it('is good when the whole chain answers', async () => {
    const response = await edge.request('/healthz');
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      status: 'ok',
      checks: { gpu_worker: 'ok', model: 'ok', kv: 'ok' },
      execution_provider: 'fake',
      execution_provider_why: 'a test',
      precision: 'int8',
      model: 'blip2-scenes',
      model_card: { summary: 'knows emoji scenes only' },
    });
  });

  it('is looked into once a second, however many ask', async () => {
    let now = Date.now();
    let reads = 0;
    const { EMBEDDINGS: kv } = testEnv;
    edge = startEdge({
      platform: { now: () => now },
      env: {
        EMBEDDINGS: new Proxy(kv, {
          get: (_, name) => {
            if (name !== 'get') return Reflect.get(kv, name);
            return () => {
              reads += 1;
              return Promise.resolve(null);
            };
          },
        }),
      },
    });
    const ask = async () =>
      (await Promise.all(Array.from({ length: 20 }, () => edge.request('/healthz')))).map(
        ({ status }) => status,
      );
    expect(await ask()).toEqual(Array(20).fill(200));
    expect(reads).toBe(1);
    edge.gpu.script.isReady = false;
    expect(await ask()).toEqual(Array(20).fill(200));
    now += 1000;
    expect(await ask()).toEqual(Array(20).fill(503));
    expect(reads).toBe(2);
  });

  it('is known to all who wait for a check that is slow, and for a second after it', async () => {
    let now = Date.now();
    const reads: PromiseWithResolvers<null>[] = [];
    edge = startEdge({
      platform: { now: () => now },
      env: {
        EMBEDDINGS: new Proxy(testEnv.EMBEDDINGS, {
          get: (kv, name) => {
            if (name !== 'get') return Reflect.get(kv, name);
            return () => {
              const read = Promise.withResolvers<null>();
              reads.push(read);
              return read.promise;
            };
          },
        }),
        CACHE_TIMEOUT_MS: '30000',
      },
    });
    const first = edge.request('/healthz');
    await expect.poll(() => reads.length).toBe(1);
    now += 1200;
    const second = edge.request('/healthz');
    now += 1200;
    reads[0]?.resolve(null);
    expect([(await first).status, (await second).status]).toEqual([200, 200]);
    now += 999;
    expect((await edge.request('/healthz')).status).toBe(200);
    expect(reads).toHaveLength(1);
    // Of one that nobody ends any more another is made, once, and whichever ends serves all.
    now += 1;
    const stuck = edge.request('/healthz');
    await expect.poll(() => reads.length).toBe(2);
    now += 2500;
    const others = [edge.request('/healthz'), edge.request('/healthz')];
    await expect.poll(() => reads.length).toBe(3);
    reads[2]?.resolve(null);
    for (const other of others) expect((await other).status).toBe(200);
    expect(reads).toHaveLength(3);
    reads[1]?.resolve(null);
    expect((await stuck).status).toBe(200);
  });

  it('reaches hundreds who wait for a check by its end, and none of them looks before', async () => {
    const read = Promise.withResolvers<null>();
    let reads = 0;
    edge = startEdge({
      env: {
        EMBEDDINGS: new Proxy(testEnv.EMBEDDINGS, {
          get: (kv, name) => {
            if (name !== 'get') return Reflect.get(kv, name);
            return () => {
              reads++;
              return read.promise;
            };
          },
        }),
        CACHE_TIMEOUT_MS: '30000',
      },
    });
    const first = edge.request('/healthz');
    await expect.poll(() => reads).toBe(1);
    const { setTimeout } = globalThis;
    let timers = 0;
    // None of theirs ever comes.
    vi.stubGlobal('setTimeout', () => {
      timers++;
      return 0;
    });
    const looks = vi.spyOn(scheduler, 'wait');
    const others = Array.from({ length: 250 }, () => edge.request('/healthz'));
    await new Promise((resolve) => setTimeout(resolve));
    read.resolve(null);
    const replies = await Promise.all([first, ...others]);
    vi.unstubAllGlobals();
    expect(replies.map(({ status }) => status)).toEqual(Array(251).fill(200));
    expect(reads).toBe(1);
    expect(timers).toBeLessThanOrEqual(250);
    expect(looks).not.toHaveBeenCalled();
  });

  type Arrange = (gpu: TestEdge['gpu']) => void;
  it.each<[string, TestSetup, Arrange, string, string]>([
    [
      'a GPU worker that is gone',
      {},
      (gpu) => {
        gpu.script.isGone = true;
      },
      'worker-unavailable',
      'gpu_worker: The GPU worker cannot be reached.; model: The GPU worker cannot be reached.',
    ],
    [
      'a GPU worker that is not ready',
      {},
      (gpu) => {
        gpu.script.isReady = false;
      },
      'worker-unavailable',
      'gpu_worker: is not ready',
    ],
    [
      'a GPU worker of another model',
      {},
      (gpu) => {
        gpu.script.revision = 'x';
      },
      'model-unavailable',
      'model: the GPU worker serves another revision',
    ],
    [
      'a GPU worker that computes with other bits',
      {},
      (gpu) => {
        gpu.script.preprocessing = '3-0-int8';
      },
      'model-unavailable',
      `model: the GPU worker makes embeddings by 3-0-int8, not by ${bundledModels.generate.preprocessing}: BLIP2_PRECISION differs, or the version`,
    ],
    ['KV that is down', kvDown, () => {}, 'cache-unavailable', 'kv: does not answer'],
    [
      'two parts at once',
      kvDown,
      (gpu) => {
        gpu.script.revision = 'x';
      },
      'model-unavailable',
      'model: the GPU worker serves another revision; kv: does not answer',
    ],
  ])('names %s', async (_name, setup, arrange, slug, detail) => {
    edge = startEdge(setup);
    arrange(edge.gpu);
    const response = await edge.request('/healthz');
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('5');
    expect(await response.json()).toMatchObject({ type: `/problems/${slug}`, detail });
  });
});
