/** One question by the edge is one trace: from whoever asks over the edge to every step of the GPU worker. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { ROOT } from '../../tools/prepare-edge.ts';
import { Collector, type Span } from '../support/collector.ts';

const CALLER_SPAN = 'b7ad6b7169203331';
const STEPS = ['receive', 'decode_image', 'queue', 'encode_image', 'prefill', 'decode'];

let collector: Collector;
let stack: Stack;
let image: Uint8Array<ArrayBuffer>;
beforeAll(async () => {
  collector = await Collector.start();
  stack = await startStack({
    jobs: true,
    workerEnv: {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20token',
      OTEL_SERVICE_NAME: 'captions',
    },
  });
  image = new Uint8Array(await readFile(join(ROOT, 'test/scenes/pair-noto-00.webp')));
});
afterAll(async () => {
  await stack?.stop();
  await collector?.[Symbol.asyncDispose]();
});

/** @param question where it is the same as before, the reply is, too */
async function ask(traceparent: string, question: string): Promise<number> {
  const response = await fetch(`${stack.url}/v1/answers?question=${encodeURIComponent(question)}`, {
    method: 'POST',
    body: image,
    headers: { traceparent },
  });
  await response.arrayBuffer();
  return response.status;
}

it('a question is one trace below the span of whoever asks, in the order in which it is answered', async () => {
  const traceId = '0af7651916cd43dd8448eb211c80319c';
  expect(await ask(`00-${traceId}-${CALLER_SPAN}-01`, 'what is on the left?')).toBe(200);
  const spans = await collector.trace(traceId, ['POST /v1/run', ...STEPS]);
  const [root, ...steps] = spans as [Span, ...Span[]];
  expect(root).toMatchObject({ name: 'POST /v1/run', parentSpanId: CALLER_SPAN });
  expect(root.attributes).toMatchObject({ 'blip2.kind': 'generate', 'blip2.outcome': 'done' });
  expect(steps.map(({ name }) => name)).toEqual(STEPS);
  expect(root.resource['service.name']).toBe('captions');
  expect(collector.headers.authorization).toBe('Bearer token');
  for (const step of steps) expect(step.parentSpanId).toBe(root.spanId);

  // Another question about it needs no image any more.
  const otherId = '1bf7651916cd43dd8448eb211c80319c';
  expect(await ask(`00-${otherId}-${CALLER_SPAN}-01`, 'what is on the right?')).toBe(200);
  const others = await collector.trace(otherId, ['POST /v1/run', 'queue', 'prefill', 'decode']);
  const names = others.map(({ name }) => name);
  expect(names).toEqual(['POST /v1/run', 'receive', 'queue', 'prefill', 'decode']);
  expect(new Set(collector.spans.map((span) => span.traceId))).toEqual(new Set([traceId, otherId]));
});

it('what nobody records is recorded nowhere, and an invalid traceparent is none', async () => {
  const unsampled = '2cf7651916cd43dd8448eb211c80319c';
  expect(await ask(`00-${unsampled}-${CALLER_SPAN}-00`, 'is it red?')).toBe(200);
  expect(await ask('00-nothing-01', 'is it blue?')).toBe(200);
  const traceId = '3df7651916cd43dd8448eb211c80319c';
  expect(await ask(`00-${traceId}-${CALLER_SPAN}-01`, 'is it green?')).toBe(200);
  await collector.trace(traceId, ['POST /v1/run', 'decode']);
  expect(collector.spans.map((span) => span.traceId)).not.toContain(unsampled);
  expect(new Set(collector.spans.map((span) => span.traceId)).size).toBeLessThanOrEqual(3);
});

it('metrics lead to the traces of requests', async () => {
  const traceId = '4ef7651916cd43dd8448eb211c80319c';
  expect(await ask(`00-${traceId}-${CALLER_SPAN}-01`, 'how many are there?')).toBe(200);
  const headers = { accept: 'application/openmetrics-text;version=1.0.0,text/plain;q=0.5' };
  const text = await (await fetch(`${stack.workerUrl}/metrics`, { headers })).text();
  expect(text).toContain(`# {trace_id="${traceId}"}`);
});

/** Creates a job of one item. @returns the span of its item */
async function runJob(traceparent: string | null) {
  const data = `data:image/webp;base64,${Buffer.from(image).toString('base64')}`;
  const response = await fetch(`${stack.url}/v1/jobs`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(traceparent !== null && { traceparent }),
    },
    body: JSON.stringify({ task: 'caption', items: [{ image: data }] }),
  });
  const { id } = (await response.json()) as { id: string };
  const name = `job-${id.replace('job_', '').slice(0, 32)}`;
  const isItem = (span: Span) =>
    span.name === 'job item' && String(span.attributes['blip2.request_id']).startsWith(name);
  while (!collector.spans.some(isItem)) await collector.nextBatch();
  return { id, item: collector.spans.find(isItem) as Span };
}

it('an item of a job is a trace that names the request which created the job, where that is recorded', async () => {
  const traceId = '5ff7651916cd43dd8448eb211c80319c';
  const { item } = await runJob(`00-${traceId}-${CALLER_SPAN}-01`);
  expect(item.links).toEqual([{ traceId, spanId: CALLER_SPAN }]);
  expect(item.traceId).not.toBe(traceId);
  const unrecorded = await runJob(`00-6${traceId.slice(1)}-${CALLER_SPAN}-00`);
  expect(unrecorded.item.links).toEqual([]);
});

it('an item of a job is a trace of its own, under the name that it has in logs', async () => {
  const { id, item } = await runJob(null);
  const { traceId } = item;
  const [root, ...steps] = await collector.trace(traceId, ['queue', 'prefill', 'decode']);
  expect(root?.links).toEqual([]);
  expect(root?.attributes).toMatchObject({
    'blip2.request_id': expect.stringContaining(`job-${id.replace('job_', '').slice(0, 32)}`),
    'blip2.kind': 'generate',
    'blip2.outcome': 'done',
  });
  for (const step of steps) expect(step.parentSpanId).toBe(root?.spanId);
});
