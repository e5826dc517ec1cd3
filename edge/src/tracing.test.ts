/** Cloudflare's spans are recorded on Cloudflare only: here the runtime's own, which are not, and ones that say they are. */
import { parseTraceparent, traceparentOf } from '@blip2/shared/traceparent';
import { describe, expect, it } from 'vitest';
import { contextToSend, type EdgeSpan, inSpan } from './tracing.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const OTHER_TRACE = '5e3f651916cd43dd8448eb211c80319c';
const caller = { traceId: TRACE, spanId: 'b7ad6b7169203331', isSampled: true };

function tracedSpan(traceId: string) {
  const attributes: Record<string, unknown> = {};
  const span: EdgeSpan = {
    isTraced: true,
    spanContext: () => ({ traceId, spanId: '00f067aa0ba902b7', traceFlags: 0 }),
    setAttribute(name, value) {
      attributes[name] = value;
      return this as Span;
    },
  };
  return { span, attributes };
}

describe('a span', () => {
  it('of the runtime is around the work, whatever comes of it', async () => {
    const isThere: boolean[] = [];
    const work = async (span: EdgeSpan | null) => {
      isThere.push(span !== null);
      return 7;
    };
    expect(await inSpan('work', work)).toBe(7);
    expect(isThere).toEqual([true]);
    const failing = inSpan('work', () => Promise.reject(new Error('no')));
    await expect(failing).rejects.toThrow('no');
  });

  it('is left out where the runtime has none', async () => {
    expect(await inSpan('work', async (span) => span, null)).toBeNull();
  });
});

describe('what goes to the GPU worker', () => {
  it('continues the trace of the caller, where Cloudflare traces nothing or in a trace of its own', () => {
    expect(contextToSend(null, caller)).toBe(caller);
    const { span, attributes } = tracedSpan(OTHER_TRACE);
    expect(contextToSend(span, caller)).toBe(caller);
    expect(attributes).toEqual({ 'caller.trace_id': TRACE });
  });

  it('is the span of the request to it, where that is traced', () => {
    const expected = { traceId: TRACE, spanId: '00f067aa0ba902b7', isSampled: true };
    expect(contextToSend(tracedSpan(TRACE).span, undefined)).toEqual(expected);
    // Cloudflare has continued the trace of the caller itself.
    expect(contextToSend(tracedSpan(TRACE).span, caller)).toEqual(expected);
  });

  it('is a trace that nobody records where nobody traces', async () => {
    const made = await inSpan('work', async (span) => contextToSend(span, undefined));
    expect(made.isSampled).toBe(false);
    expect(parseTraceparent(traceparentOf(made))).toEqual(made);
  });
});
