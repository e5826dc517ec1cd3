/** Metrics and trace of the real engine on the embedded checkpoint. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GenerationConfig } from '@blip2/shared/wire';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { framesOf, TestWorker } from './http/testing/test-worker.ts';

let test: TestWorker;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'blip2-metrics-'));
  const trace = join(folder, 'trace.json');
  test = await TestWorker.start({ maxSlots: 2, queueLimit: 0, trace });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Statuses of all replies. */
const statuses: number[] = [];
const repliesOf = (status: number) => statuses.filter((one) => one === status).length;

async function send(max_tokens: number, signal?: AbortSignal) {
  const generation = GenerationConfig.parse({ max_tokens, min_tokens: max_tokens });
  const request = test.generate({ generation });
  const response = await test.send(request, test.image(0), signal ? { signal } : {});
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
  it('count what a request costs, and what the next about its image is spared', async () => {
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
    expect(await sample('blip2_engine_action_seconds_count', { action: 'images' })).toBe(2);
    expect(await sample('blip2_num_requests_running', { execution_provider: 'cpu' })).toBe(0);
    expect(await sample('process_cpu_seconds_total')).toBeGreaterThan(0);
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

  it('fall back to zero when the last client goes away', async () => {
    const running: number[] = [];
    const token = Promise.withResolvers<void>();
    const idle = Promise.withResolvers<void>();
    test.worker.engine.listen({
      observed: (observation) => {
        running.push(observation.running);
        if (observation.done === null) idle.resolve();
      },
      begun: () => {},
      written: () => token.resolve(),
      ended: () => {},
      rejected: () => {},
    });
    const leaving = new AbortController();
    const response = await send(200, leaving.signal);
    await token.promise;
    leaving.abort();
    await expect(framesOf(response)).rejects.toThrow();
    await idle.promise;
    expect(Math.max(...running)).toBe(1);
    expect(await sample('blip2_num_requests_running')).toBe(0);
    expect(await sample('blip2_kv_cache_usage')).toBe(0);
    const canceled = { kind: 'generate', outcome: 'canceled' };
    expect(await sample('blip2_requests_total', canceled)).toBe(1);
  });
});

describe('a trace', () => {
  it('shows the engine at work and every request from its beginning to its end', async () => {
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
    expect(of('n').length).toBeGreaterThan(2);
    const rejected = Array.from({ length: repliesOf(503) }, () => ({ name: 'rejected' }));
    expect(of('i')).toMatchObject(rejected);
  });
});
