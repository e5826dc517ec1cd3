/** Spans of a real worker, as a collector receives them. */
import { encodeFrame } from '@blip2/shared/frames';
import { GenerationConfig } from '@blip2/shared/wire';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Collector, type Span } from '../../../test/support/collector.ts';
import type { Config } from '../config.ts';
import { allowPasses, openGate } from '../engine/testing/gate.ts';
import { endless, framesOf, TestWorker } from '../http/testing/test-worker.ts';
import { gateEngine } from '../testing/crash-engine.ts';

const EDGE_SPAN = 'b7ad6b7169203331';
const GENERATION = [
  'POST /v1/run',
  'receive',
  'decode_image',
  'queue',
  'encode_image',
  'prefill',
  'decode',
];

let collector: Collector;
let test: TestWorker;
const gate = gateEngine();
const start = (options: Partial<Config> = {}) =>
  TestWorker.start({ otlpEndpoint: collector.url, ...options });
beforeAll(async () => {
  collector = await Collector.start();
  test = await start({ prefillChunkTokens: 8 });
});
afterAll(async () => {
  await test?.worker.stop();
  await collector?.[Symbol.asyncDispose]();
});

const exactly = (tokens: number) =>
  GenerationConfig.parse({ max_tokens: tokens, min_tokens: tokens });

let count = 0;
/** A trace of its own, and the headers of a request that is part of it. */
function newTrace(flags = '01') {
  const traceId = `${++count}`.padStart(32, '5');
  return { traceId, headers: { traceparent: `00-${traceId}-${EDGE_SPAN}-${flags}` } };
}

const named = (spans: readonly Span[], name: string) =>
  spans.find((span) => span.name === name) as Span;

describe('a request', () => {
  it('is a span below the one that its traceparent names, and its steps are spans below it', async () => {
    const { traceId, headers } = newTrace();
    const id = 'of-the-edge';
    const init = { headers: { ...headers, 'x-request-id': id } };
    await framesOf(await test.send(test.generate({ generation: exactly(8) }), test.image(0), init));
    const spans = await collector.trace(traceId, GENERATION);
    expect(spans.map(({ name }) => name)).toEqual(GENERATION);
    const [root, ...steps] = spans as [Span, ...Span[]];
    expect(root).toMatchObject({
      parentSpanId: EDGE_SPAN,
      kind: 2,
      isError: false,
      attributes: {
        'http.response.status_code': 200,
        'blip2.request_id': id,
        'blip2.kind': 'generate',
        'blip2.outcome': 'done',
      },
      resource: { 'service.name': 'blip2-gpu-worker', 'blip2.execution_provider': 'cpu' },
    });
    expect(new Set(steps.map(({ parentSpanId }) => parentSpanId))).toEqual(new Set([root.spanId]));
    // The first token is of the prefill.
    expect(named(spans, 'decode').attributes).toMatchObject({
      'blip2.actions': 7,
      'blip2.tokens': 8,
    });
    // None begins before the one before it has ended; `receive` begins with the request.
    for (const [index, step] of steps.slice(1).entries()) {
      expect(step.start).toBeGreaterThanOrEqual((steps[index] as Span).end - 1_000_000n);
    }
  });

  it('of a long prompt has one prefill of many chunks', async () => {
    const { traceId, headers } = newTrace();
    const input_ids = [2, ...new Array(30).fill(40)];
    const request = test.generate({ input_ids, generation: exactly(2) });
    await framesOf(await test.send(request, test.image(1), { headers }));
    const spans = await collector.trace(traceId, GENERATION);
    expect(spans).toHaveLength(GENERATION.length);
    expect(named(spans, 'prefill').attributes['blip2.actions']).toBeGreaterThan(1);
  });

  it('that is refused says why, and is no error of the worker', async () => {
    const { traceId, headers } = newTrace();
    const damaged = encodeFrame(
      'image',
      Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    );
    const response = await test.send(test.generate(), damaged, { headers });
    expect(response.status).toBe(400);
    const spans = await collector.trace(traceId, ['POST /v1/run']);
    expect(named(spans, 'POST /v1/run')).toMatchObject({
      isError: false,
      attributes: { 'http.response.status_code': 400, 'blip2.outcome': 'invalid-image' },
    });
    expect(spans.map(({ name }) => name)).not.toContain('queue');
  });

  it('whose client goes away has the steps until then', async () => {
    const { traceId, headers } = newTrace();
    const leaving = new AbortController();
    const { signal } = leaving;
    const request = test.generate({ generation: endless(200) });
    allowPasses(gate, 8);
    const response = await test.send(request, test.image(2), { headers, signal });
    await response.body?.getReader().read();
    leaving.abort();
    const spans = await collector.trace(traceId, ['POST /v1/run', 'queue']);
    openGate(gate);
    expect(named(spans, 'POST /v1/run').attributes['blip2.outcome']).toBe('canceled');
  });

  it('of a trace that nobody records is not exported, and its log names no trace', async () => {
    const unsampled = newTrace('00');
    const id = 'unsampled';
    const init = { headers: { ...unsampled.headers, 'x-request-id': id } };
    await framesOf(await test.send(test.generate(), test.image(0), init));
    const { traceId, headers } = newTrace();
    await framesOf(await test.send(test.generate(), test.image(0), { headers }));
    await collector.trace(traceId, GENERATION);
    expect(collector.spans.filter((span) => span.traceId === unsampled.traceId)).toEqual([]);
    expect((await test.linesOf(id))[0]).not.toHaveProperty('trace_id');
  });

  it('names its trace in its log', async () => {
    const { traceId, headers } = newTrace();
    const init = { headers: { ...headers, 'x-request-id': 'traced' } };
    await framesOf(await test.send(test.generate(), test.image(0), init));
    expect(await test.linesOf('traced')).toMatchObject([{ event: 'request', trace_id: traceId }]);
  });

  it('without a valid traceparent is a trace of its own', async () => {
    const init = { headers: { traceparent: '00-x-y-01', 'x-request-id': 'alone' } };
    await framesOf(await test.send(test.generate(), test.image(0), init));
    const [line] = await test.linesOf('alone');
    const spans = await collector.trace(String(line?.trace_id), GENERATION);
    expect(spans[0]?.parentSpanId ?? '').toBe('');
  });

  it('has no word of what is asked or answered in its spans', async () => {
    const text = JSON.stringify(collector.spans, (_, value) =>
      typeof value === 'bigint' ? `${value}` : value,
    );
    expect(text).not.toMatch(/input_ids|tokens":\[|iVBOR/);
    const keys = new Set(collector.spans.flatMap(({ attributes }) => Object.keys(attributes)));
    expect([...keys].sort()).toEqual([
      'blip2.actions',
      'blip2.busy_ms',
      'blip2.kind',
      'blip2.outcome',
      'blip2.request_id',
      'blip2.tokens',
      'http.request.method',
      'http.response.status_code',
      'url.path',
    ]);
  });
});

describe('a worker', () => {
  it('that records always records what the edge does not, and exports what is left when it stops', async () => {
    const other = await start({ tracesSampler: 'always_on' });
    const { traceId, headers } = newTrace('00');
    await framesOf(await other.send(other.generate(), other.image(0), { headers }));
    await other.worker.stop();
    const own = collector.spans.filter((span) => span.traceId === traceId);
    expect(own.map(({ name }) => name).sort()).toEqual([...GENERATION].sort());
  });

  it('whose collector refuses serves, says so once, and says when it is there again', async () => {
    const other = await start();
    collector.status = 400;
    const ask = async () => {
      const batch = collector.nextBatch();
      const { traceId, headers } = newTrace();
      await framesOf(await other.send(other.generate(), other.image(0), { headers }));
      await batch;
      return traceId;
    };
    await ask();
    await ask();
    collector.status = 200;
    await collector.trace(await ask(), GENERATION);
    await other.worker.stop();
    const events = other.logged.map(({ event }) => event);
    expect(events.filter((event) => event === 'traces-not-exported')).toHaveLength(1);
    expect(events.filter((event) => event === 'traces-exported-again')).toHaveLength(1);
  });

  it('stops although its collector never answers', async () => {
    const other = await start();
    collector.status = null;
    const { headers } = newTrace();
    await framesOf(await other.send(other.generate(), other.image(0), { headers }));
    await other.worker.stop();
    collector.status = 200;
  });
});
