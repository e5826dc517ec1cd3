/** Traces of requests: where no exporter is configured, no more than their ids, for logs and exemplars. */
import { parseTraceparent } from '@blip2/shared/traceparent';
import { type RequestTrace, type StepAttributes, UNTRACED } from '../engine/request-trace.ts';

/** A trace that has been begun, and is to be ended. */
export type OpenTrace = RequestTrace & {
  /** Later calls do nothing. @param error whether the worker is to blame */
  end: (attributes: StepAttributes, error?: boolean) => void;
};

/** What a request is when it begins. */
export type TracedRequest = {
  name: string;
  /** Whether it came by HTTP or from the queue. */
  kind: 'server' | 'consumer';
  /** The header of that name, where one came. */
  traceparent: string | undefined;
  /** The `traceparent` of what caused it, where that is a trace of its own: both are linked. */
  cause?: string | undefined;
  /** Milliseconds of this process's clock. */
  startedAt: number;
  attributes?: StepAttributes;
};

export type Traces = {
  begin: (request: TracedRequest) => OpenTrace;
  /** Exports what is left, in bounded time. */
  stop: () => Promise<void>;
};

/** Records nothing. */
export const NO_TRACES: Traces = {
  begin: ({ traceparent }) => ({ ...UNTRACED, traceId: sampledIdIn(traceparent), end: () => {} }),
  stop: async () => {},
};

/** The id of a trace that somebody records. */
export function sampledIdIn(traceparent: string | undefined): string | undefined {
  const parent = parseTraceparent(traceparent);
  return parent?.isSampled ? parent.traceId : undefined;
}
