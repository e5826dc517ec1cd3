/** Metrics and trace of the real engine on the embedded checkpoint. */
import { EventEmitter, once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { withDefaults } from '@blip2/shared/config/option';
import { encodeJsonFrame, FRAME_TYPES } from '@blip2/shared/frames';
import { GenerationConfig } from '@blip2/shared/wire';
import { beforeAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { ensureBundle, readGenerativeManifest } from './builder/index.ts';
import { EngineClient } from './engine/client.ts';
import {
  allowPasses,
  createGate,
  GATED_THREAD,
  type GatedOptions,
  openGate,
} from './engine/testing/gate.ts';
import { createApp } from './http/app.ts';
import { Arrivals } from './http/arrivals.ts';
import { BodyMemory } from './http/body-memory.ts';
import { framesOf, TestWorker } from './http/testing/test-worker.ts';
import { DecodePool } from './image/decode-pool.ts';
import { SILENT } from './logger.ts';
import { createMetrics } from './metrics.ts';
import { chooseCheckpoints, MODEL_OPTIONS } from './model-options.ts';
import { NO_TRACES } from './tracing/traces.ts';

let test: TestWorker;
const folder = temporaryFolder();
beforeAll(async () => {
  const trace = join(folder, 'trace.json');
  test = await TestWorker.start({ maxSlots: 2, queueLimit: 0, trace });
});

/** Statuses of all replies. */
const statuses: number[] = [];
const repliesOf = (status: number) => statuses.filter((one) => one === status).length;

async function send(max_tokens: number, init?: RequestInit) {
  const generation = GenerationConfig.parse({ max_tokens, min_tokens: max_tokens });
  const request = test.generate({ generation });
  const response = await test.send(request, test.image(0), init);
  statuses.push(response.status);
  return response;
}

/** Value of a sample by its name and labels as they are written. */
async function sample(name: string, labels: Record<string, string> = {}): Promise<number> {
  const text = await (await fetch(`${test.worker.url}/metrics`)).text();
  const line = text.split('\n').find((one) => {
    const isNamed = one.startsWith(`${name}{`) || one.startsWith(`${name} `);
    return (
      isNamed && Object.entries(labels).every(([key, value]) => one.includes(`${key}="${value}"`))
    );
  });
  return Number(line?.split(' ').at(-1) ?? Number.NaN);
}

describe('metrics', () => {
  it('count the work of a request, and what the next about its image reuses', async () => {
    await framesOf(await send(6));
    await framesOf(await send(6));
    expect(await sample('blip2_generation_tokens_total')).toBe(12);
    expect(await sample('blip2_requests_total', { kind: 'generate', outcome: 'done' })).toBe(2);
    expect(await sample('blip2_time_to_first_token_seconds_count')).toBe(2);
    expect(await sample('blip2_inter_token_latency_seconds_count')).toBe(10);
    expect(await sample('blip2_prefix_cache_lookups_total', { result: 'hit' })).toBe(1);
    expect(await sample('blip2_prefix_cache_bytes')).toBeGreaterThan(0);
    expect(
      await sample('blip2_image_feature_cache_lookups_total', { result: 'hit' }),
    ).toBeGreaterThan(0);
    expect(await sample('blip2_image_feature_cache_bytes')).toBeGreaterThan(0);
    expect(await sample('blip2_kv_cache_bytes')).toBeGreaterThan(0);
    expect(await sample('blip2_decode_batch_size_count')).toBe(10);
    // Each of both models was asked about one when it was loaded.
    expect(await sample('blip2_engine_action_seconds_count', { action: 'images' })).toBe(3);
    expect(await sample('blip2_num_requests_running', { execution_provider: 'cpu' })).toBe(0);
    expect(await sample('process_cpu_seconds_total')).toBeGreaterThan(0);
  });

  it('have the trace of a recorded request as exemplar, for who reads OpenMetrics', async () => {
    const scrape = async (accept: string) => {
      const response = await fetch(`${test.worker.url}/metrics`, { headers: { accept } });
      return { type: response.headers.get('content-type'), text: await response.text() };
    };
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    const headers = { traceparent: `00-${traceId}-b7ad6b7169203331-01` };
    await framesOf(await send(3, { headers }));
    // As Prometheus asks.
    const accept =
      'application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2';
    const open = await scrape(accept);
    expect(open.type).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8');
    expect(open.text).toMatch(
      new RegExp(
        `^blip2_time_to_first_token_seconds_bucket{.*} \\d+ # {trace_id="${traceId}"} `,
        'm',
      ),
    );
    expect(open.text).toContain('# TYPE blip2_requests counter\nblip2_requests_total{');
    expect(open.text.endsWith('# EOF\n')).toBe(true);
    // The other form is as before, also after that.
    const plain = await scrape('text/plain');
    expect(plain.type).toContain('text/plain; version=0.0.4');
    expect(plain.text).toContain('# TYPE blip2_requests_total counter\nblip2_requests_total{');
    expect(plain.text).not.toContain('trace_id');
    expect((await scrape(accept)).text).toContain('# TYPE blip2_requests counter\n');
  });

  it('count requests that are rejected', async () => {
    const caller = { client: '', priority: 'interactive' } as const;
    {
      using _first = test.worker.engine.admit(caller);
      using _second = test.worker.engine.admit(caller);
      expect(await sample('blip2_num_requests_admitted')).toBe(2);
      expect((await send(1)).status).toBe(503);
    }
    expect(await sample('blip2_num_requests_admitted')).toBe(0);
    expect(await sample('blip2_requests_rejected_total')).toBe(1);
  });
});

describe('metrics of a request whose client goes away', () => {
  it('fall back to zero, and count it as canceled', async () => {
    const gate = createGate();
    const { checkpoint } = chooseCheckpoints(withDefaults(MODEL_OPTIONS));
    const bundle = await ensureBundle(checkpoint, { bundles: withDefaults(MODEL_OPTIONS).bundles });
    const manifest = await readGenerativeManifest(bundle);
    const options: GatedOptions = {
      ...{ bundle, manifest, executionProvider: 'cpu', threads: 1, gate },
      ...{ maxSlots: 2, prefillChunkTokens: 64, prefixCacheBytes: 0 },
    };
    const engine = await EngineClient.start(options, 0, GATED_THREAD);
    const decoder = await DecodePool.start({
      limits: { maxBytes: 1e6, maxPixels: 1e6 },
      ...{ processes: 1, timeoutMs: 10_000, imageMemory: 2 ** 28, totalMemory: 2 ** 28 },
    });
    const metrics = createMetrics(engine, decoder, 'cpu');
    const app = createApp({
      engine,
      decoder,
      metrics,
      traces: NO_TRACES,
      models: { generate: manifest },
      limits: { maxBytes: 1e6, maxPixels: 1e6 },
      arrivals: new Arrivals(8),
      bodyMemory: new BodyMemory(1e7),
      model: { name: '', revision: '', execution_provider: 'cpu' },
      state: { draining: false, crashed: new AbortController().signal },
      signatures: null,
      hangSeconds: 60,
      log: SILENT,
    });
    /** Sequences that run, and whether there is nothing to do. */
    const reports = new EventEmitter();
    engine.listen({
      onStats: ({ running, done }) => reports.emit(done === null ? 'idle' : `running ${running}`),
      onStart: () => {},
      onTokens: () => {},
      onEnd: () => {},
      onRejected: () => {},
    });
    const sampleOf = async (name: string) => {
      const line = (await metrics.scrape('')).text
        .split('\n')
        .find((one) => one.startsWith(`${name}{`));
      return Number(line?.split(' ').at(-1) ?? 0);
    };

    // The prompt is read, and the first step waits.
    allowPasses(gate, 1);
    const runs = once(reports, 'running 1');
    const generation = GenerationConfig.parse({ max_tokens: 30, min_tokens: 30 });
    const request = test.generate({ generation, revision: manifest.revision });
    const response = await app.request('/v1/run', {
      method: 'POST',
      body: new Blob([encodeJsonFrame('request', request), test.image(0)]),
    });
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    for (const type of ['imageInfo', 'embeddings', 'tokens'] as const) {
      const { value } = await reader.read();
      expect(value?.[0]).toBe(FRAME_TYPES[type]);
    }
    await runs;
    expect(await sampleOf('blip2_num_requests_running')).toBe(1);
    expect(await sampleOf('blip2_num_requests_admitted')).toBe(1);

    const idle = once(reports, 'idle');
    await reader.cancel();
    openGate(gate);
    await idle;
    expect(await sampleOf('blip2_num_requests_running')).toBe(0);
    expect(await sampleOf('blip2_num_requests_admitted')).toBe(0);
    expect(await sampleOf('blip2_kv_cache_usage')).toBe(0);
    // The step that waited, and perhaps one until the cancellation arrives: not all 29.
    expect(await sampleOf('blip2_decode_batch_size_count')).toBeLessThan(5);
    expect((await metrics.scrape('')).text).toMatch(
      /blip2_requests_total\{.*outcome="canceled".*\} 1/,
    );
    await Promise.all([engine.stop(), decoder.stop()]);
  });
});

describe('a trace', () => {
  it('that cannot be written is refused before a model is loaded, by the name of its option', async () => {
    const trace = join(folder, 'nowhere', 'trace.json');
    await expect(TestWorker.start({ trace, checkpoint: '/nowhere' })).rejects.toThrow(
      `The trace cannot be written to BLIP2_TRACE=${trace}.`,
    );
  });

  it('has the actions of the engine, and every request from its beginning to its end', async () => {
    await test.worker.stop();
    const text = await readFile(join(folder, 'trace.json'), 'utf8');
    // A viewer forgives the missing end; JSON does not.
    const events: Record<string, unknown>[] = JSON.parse(`${text.trim().replace(/,$/, '')}]`);
    const of = (ph: string) => events.filter((event) => event.ph === ph);
    const actions = of('X').map(({ name }) => name);
    expect(new Set(actions)).toEqual(new Set(['images', 'prefill', 'step']));
    for (const { ts, dur } of of('X')) {
      expect(Math.abs(Number(ts) / 1000 - Date.now())).toBeLessThan(600_000);
      expect(Number(dur)).toBeGreaterThan(0);
    }
    const ids = (ph: string) => of(ph).map(({ id }) => id);
    expect(ids('b')).toHaveLength(repliesOf(200));
    expect(new Set(ids('e'))).toEqual(new Set(ids('b')));
    expect(of('n')).toHaveLength(repliesOf(200));
    const rejected = Array.from({ length: repliesOf(503) }, () => ({ name: 'rejected' }));
    expect(of('i')).toMatchObject(rejected);
  });
});
