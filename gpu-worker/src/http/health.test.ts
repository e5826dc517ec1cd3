/** `/healthz` and `/readyz` while the real engine hangs amid a step, and afterwards. */
import { withDefaults } from '@blip2/shared/config/option';
import { GenerationConfig } from '@blip2/shared/wire';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ensureBundle, readGenerativeManifest } from '../builder/index.ts';
import { EngineClient } from '../engine/client.ts';
import type { Job } from '../engine/protocol.ts';
import {
  allowPasses,
  createGate,
  GATED_THREAD,
  type GatedOptions,
  openGate,
} from '../engine/testing/gate.ts';
import { DecodePool } from '../image/decode-pool.ts';
import { createLogger } from '../logger.ts';
import { createMetrics } from '../metrics.ts';
import { chooseCheckpoints, MODEL_OPTIONS } from '../model-options.ts';
import { NO_TRACES } from '../tracing/traces.ts';
import { createApp } from './app.ts';
import { Arrivals } from './arrivals.ts';
import { BodyMemory } from './body-memory.ts';

const gate = createGate();
const logged: string[] = [];
let engine: EngineClient;
let decoder: DecodePool;
let app: ReturnType<typeof createApp>;
let job: Job;

beforeAll(async () => {
  const { checkpoint } = chooseCheckpoints(withDefaults(MODEL_OPTIONS));
  const bundle = await ensureBundle(checkpoint, { bundles: withDefaults(MODEL_OPTIONS).bundles });
  const manifest = await readGenerativeManifest(bundle);
  const options: GatedOptions = {
    ...{ bundle, manifest, executionProvider: 'cpu', threads: 1, gate },
    ...{ maxSlots: 2, reserveSlots: 0, prefillChunkTokens: 64, prefixCacheBytes: 0 },
  };
  engine = await EngineClient.start(options, 0, GATED_THREAD);
  const limits = { maxBytes: 1e6, maxPixels: 1e6 };
  const memory = 2 ** 28;
  decoder = await DecodePool.start({
    ...{ limits, processes: 1, timeoutMs: 1e4, imageMemory: memory, totalMemory: memory },
  });
  app = createApp({
    engine,
    decoder,
    arrivals: new Arrivals(1),
    bodyMemory: new BodyMemory(limits.maxBytes),
    metrics: createMetrics(engine, decoder, 'cpu'),
    traces: NO_TRACES,
    models: { generate: manifest },
    limits,
    model: { name: '', revision: '', execution_provider: 'cpu' },
    state: { draining: false, crashed: new AbortController().signal },
    signatures: null,
    hangSeconds: 0.2,
    log: createLogger({ level: 'warn', write: (line) => logged.push(JSON.parse(line).event) }),
  });
  const values = new Float32Array(manifest.num_query_tokens * manifest.qformer_hidden);
  const config = GenerationConfig.parse({ max_tokens: 2, min_tokens: 2 });
  const source = { kind: 'embeddings', values } as const;
  job = { kind: 'generate', source, inputIds: [2], config };
});
afterAll(() => Promise.all([engine?.stop(), decoder?.stop()]));

const statuses = async () => {
  const responses = ['/healthz', '/readyz'].map(async (path) => (await app.request(path)).status);
  return await Promise.all(responses);
};

it('an idle engine is well for ever', async () => {
  for (let i = 0; i < 3; i++) expect(await statuses()).toEqual([200, 200]);
  await expect.poll(() => engine.heartbeat()).toBeLessThan(0.1);
});

it('an engine is well whose sign of life a busy thread has not read yet', async () => {
  engine.heartbeat();
  const until = performance.now() + 400;
  while (performance.now() < until);
  expect(await statuses()).toEqual([200, 200]);
});

it('an engine that does not come back from a step is no longer well, though its requests have left', async () => {
  allowPasses(gate, 0);
  const client = new AbortController();
  const caller = { client: '', priority: 'interactive' } as const;
  const events = engine.run(job, { signal: client.signal, caller });
  expect(await statuses()).toEqual([200, 200]);
  client.abort();
  await expect(events.getReader().read()).rejects.toThrow();
  await expect.poll(statuses).toEqual([503, 503]);
  expect(await (await app.request('/healthz')).json()).toMatchObject({
    type: '/problems/worker-unavailable',
    detail: expect.stringMatching(/^The engine has not advanced for \d+ seconds\.$/),
  });
  expect(logged).toEqual(['engine-hangs']);
});

it('one that comes back after all is well again', async () => {
  openGate(gate);
  await expect.poll(statuses).toEqual([200, 200]);
});
