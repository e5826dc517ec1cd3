/** Metrics and trace of the real engine on the embedded checkpoint. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeFrame, encodeJsonFrame, readFrames } from '@blip2/shared/frames';
import { GenerationConfig, type WorkerModel } from '@blip2/shared/wire';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readConfig } from './config.ts';
import { type GpuWorker, startWorker } from './start-worker.ts';

let worker: GpuWorker;
let revision: string;
let folder: string;
let imageFrame: Uint8Array<ArrayBuffer>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'blip2-metrics-'));
  worker = await startWorker(
    readConfig({
      GPU_WORKER_PORT: '0',
      BLIP2_MAX_SLOTS: '2',
      BLIP2_QUEUE_LIMIT: '0',
      BLIP2_TRACE: join(folder, 'trace.json'),
    }),
  );
  ({ revision } = (await (await fetch(`${worker.url}/v1/model`)).json()) as WorkerModel);
  const background = '#2040cc';
  const canvas = sharp({ create: { width: 90, height: 90, channels: 3, background } });
  imageFrame = encodeFrame('image', new Uint8Array(await canvas.png().toBuffer()));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Statuses of all replies. */
const statuses: number[] = [];
const repliesOf = (status: number) => statuses.filter((one) => one === status).length;

async function send(max_tokens: number, signal?: AbortSignal) {
  const generation = GenerationConfig.parse({ max_tokens, min_tokens: max_tokens });
  const head = { request_id: 'test', revision, deadline_ms: 20_000, input_ids: [2] };
  const request = { kind: 'generate', ...head, generation };
  const body = new Blob([encodeJsonFrame('request', request), imageFrame]);
  const options = { method: 'POST', body, ...(signal && { signal }) };
  const response = await fetch(`${worker.url}/v1/run`, options);
  statuses.push(response.status);
  return response;
}

const finish = async (response: Response) =>
  Array.fromAsync(readFrames(response.body as ReadableStream<Uint8Array>));

/** Value of a sample by its name and labels as they are written. */
async function sample(name: string, labels: Record<string, string> = {}): Promise<number> {
  const text = await (await fetch(`${worker.url}/metrics`)).text();
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
    await finish(await send(6));
    await finish(await send(6));
    expect(await sample('blip2_tokens_total')).toBe(12);
    expect(await sample('blip2_requests_total', { kind: 'generate', outcome: 'done' })).toBe(2);
    expect(await sample('blip2_time_to_first_token_seconds_count')).toBe(2);
    expect(await sample('blip2_inter_token_latency_seconds_count')).toBe(10);
    expect(await sample('blip2_prefix_cache_lookups_total', { result: 'hit' })).toBe(1);
    expect(await sample('blip2_prefix_cache_bytes')).toBeGreaterThan(0);
    expect(await sample('blip2_image_features_lookups_total', { result: 'hit' })).toBeGreaterThan(
      0,
    );
    expect(await sample('blip2_image_features_bytes')).toBeGreaterThan(0);
    expect(await sample('blip2_kv_cache_bytes')).toBeGreaterThan(0);
    expect(await sample('blip2_step_rows_count')).toBe(10);
    expect(await sample('blip2_engine_action_seconds_count', { action: 'images' })).toBe(2);
    expect(await sample('blip2_running_rows', { execution_provider: 'cpu' })).toBe(0);
    expect(await sample('process_cpu_seconds_total')).toBeGreaterThan(0);
  });

  it('count requests that found no place, and those whose client went away', async () => {
    const canceled = () =>
      sample('blip2_requests_total', { kind: 'generate', outcome: 'canceled' });
    const most: number[] = [];
    // On a busy machine the long ones may be over before the third comes, or before one is given up: then once more.
    while (repliesOf(503) === 0 || !((await canceled()) > 0) || Math.max(...most) < 2) {
      const leaving = new AbortController();
      const long = await Promise.all([send(150, leaving.signal), send(150)]);
      await send(1);
      most.push(await sample('blip2_admitted_requests'));
      leaving.abort();
      await finish(long[1]);
      await expect.poll(() => sample('blip2_admitted_requests')).toBe(0);
    }
    expect(await sample('blip2_rejected_requests_total')).toBe(repliesOf(503));
    expect(Math.max(...most)).toBe(2);
  });

  it('fall back to zero when the last client goes away', async () => {
    let running = 0;
    while (running === 0) {
      const leaving = new AbortController();
      const response = await send(150, leaving.signal);
      running = await sample('blip2_running_rows');
      leaving.abort();
      await response.body?.cancel().catch(() => {});
    }
    expect(running).toBe(1);
    await expect.poll(() => sample('blip2_running_rows')).toBe(0);
  });
});

describe('a trace', () => {
  it('shows the engine at work and every request from its beginning to its end', async () => {
    await worker.stop();
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
