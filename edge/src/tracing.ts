/** Spans of our own in Cloudflare's traces, and the trace context that goes to the GPU worker. */
import * as platform from 'cloudflare:workers';
import type { TraceContext } from '@blip2/shared/traceparent';

/** Cloudflare's span, as far as it is used. */
export type EdgeSpan = Pick<Span, 'isTraced' | 'spanContext' | 'setAttribute'>;

/** Enters a span for as long as the work takes. */
export type Spans = {
  enterSpan<T>(name: string, work: (span: EdgeSpan) => T): T;
};

/** Runtimes from before it have none. */
const { tracing: spans = null } = platform as { tracing?: Spans };

/**
 * What the work resolves to, with a span around it where Cloudflare traces the request: some microseconds where it does not.
 * @param work gets the span; null where the runtime has none
 * @example await inSpan('read body', async () => await readLimited(request, limit, options));
 */
export async function inSpan<T>(
  name: string,
  work: (span: EdgeSpan | null) => Promise<T>,
  tracing: Spans | null = spans,
): Promise<T> {
  return await (tracing === null ? work(null) : tracing.enterSpan(name, work));
}

/**
 * The context that another service continues. That of the caller goes on, unless the span is part of the same trace: Cloudflare begins traces of its
 * own, and a trace with spans in two places is none. Without a caller's, the span's; else one that nobody records.
 * @param span `traceFlags` of its context is 0 even where it is traced
 * @param caller of the request's own `traceparent`
 */
export function contextToSend(
  span: EdgeSpan | null,
  caller: TraceContext | undefined,
): TraceContext {
  if (!span?.isTraced) return caller ?? newTraceContext();
  const { traceId, spanId } = span.spanContext();
  if (caller === undefined || caller.traceId === traceId) {
    return { traceId, spanId, isSampled: true };
  }
  span.setAttribute('caller.trace_id', caller.traceId);
  return caller;
}

/** A trace that nobody records so far. */
function newTraceContext(): TraceContext {
  const digits = crypto.getRandomValues(new Uint8Array(24)).toHex();
  return { traceId: digits.slice(0, 32), spanId: digits.slice(32), isSampled: false };
}
