/** Exports traces of requests by OTLP over HTTP: in batches, of which as many wait as there is memory set aside for, and no request for any. */
import { setTimeout as delay } from 'node:timers/promises';
import { parseTraceparent } from '@blip2/shared/traceparent';
import { VERSION } from '@blip2/shared/version';
import {
  type Context,
  ROOT_CONTEXT,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from '@opentelemetry/resources';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { Config } from '../config.ts';
import type { EngineClient } from '../engine/client.ts';
import type { Logger } from '../logger.ts';
import { EngineSteps } from './engine-steps.ts';
import { NO_TRACES, type OpenTrace, type TracedRequest, type Traces } from './traces.ts';

type OtlpOptions = {
  /** Base URL of the collector, without a slash at its end. */
  endpoint: string;
  sampler: Config['tracesSampler'];
  /** Share of traces that the samplers of ratios record. */
  ratio: number;
  /** Of this worker, beside its name and what `OTEL_RESOURCE_ATTRIBUTES` says. */
  attributes: Readonly<Record<string, string>>;
};

/** Small enough that making JSON of a batch takes less time than a token. */
const BATCH_SPANS = 128;
/** Spans that wait to be exported; more are dropped. */
const WAITING_SPANS = 2048;
const BATCH_MS = 1000;
/** Of an attribute, characters: callers name their requests. */
const MOST_CHARACTERS = 256;
/** How long a worker that stops waits for a collector. */
const STOP_MS = 2000;

/** Records the requests that the sampler chooses. */
export function startOtlp(options: OtlpOptions, engine: EngineClient, log: Logger): Traces {
  const steps = new EngineSteps();
  engine.listen(steps);
  const exporter = new OTLPTraceExporter({ url: `${options.endpoint}/v1/traces` });
  const provider = new TracerProvider({
    sampler: samplerOf(options),
    spanLimits: { attributeValueLengthLimit: MOST_CHARACTERS },
    resource: defaultResource()
      .merge(
        resourceFromAttributes({
          'service.name': 'blip2-gpu-worker',
          'service.version': VERSION,
          ...options.attributes,
        }),
      )
      .merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: logged(exporter, log),
        maxExportBatchSize: BATCH_SPANS,
        maxQueueSize: WAITING_SPANS,
        scheduledDelayMillis: BATCH_MS,
      }),
    ],
  });
  const tracer = provider.getTracer('blip2', VERSION);
  return {
    begin: (request) => begin(tracer, request),
    stop: async () => {
      steps.flush();
      const late = delay(STOP_MS, undefined, { ref: false });
      await Promise.race([provider.shutdown().catch(() => {}), late]);
    },
  };
}

function begin(tracer: Tracer, request: TracedRequest): OpenTrace {
  const { name, kind, traceparent, cause, startedAt, attributes = {} } = request;
  const linked = spanContextOf(cause);
  /** From milliseconds of this process's clock to those since the epoch, as the machine's clock has it now: the two drift apart. */
  const offset = Date.now() - performance.now();
  const options = {
    kind: kind === 'server' ? SpanKind.SERVER : SpanKind.CONSUMER,
    startTime: offset + startedAt,
    attributes,
    links: linked === null ? [] : [{ context: linked }],
  };
  const span = tracer.startSpan(name, options, contextOf(traceparent));
  if (!span.isRecording()) return NO_TRACES.begin(request);
  const context = trace.setSpan(ROOT_CONTEXT, span);
  return {
    traceId: span.spanContext().traceId,
    isRecorded: true,
    step: (name, startedAt, endedAt, attributes = {}) => {
      const startTime = offset + startedAt;
      tracer.startSpan(name, { startTime, attributes }, context).end(offset + endedAt);
    },
    end: (attributes, error = false) => {
      if (!span.isRecording()) return;
      span.setAttributes(attributes);
      if (error) span.setStatus({ code: SpanStatusCode.ERROR });
      span.end(offset + performance.now());
    },
  };
}

function contextOf(traceparent: string | undefined): Context {
  const parent = spanContextOf(traceparent);
  return parent === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent);
}

function spanContextOf(traceparent: string | undefined): SpanContext | null {
  const parsed = parseTraceparent(traceparent);
  if (parsed === null) return null;
  const { traceId, spanId, isSampled } = parsed;
  const traceFlags = isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE;
  return { traceId, spanId, traceFlags, isRemote: true };
}

/** The SDK reads no variables of samplers. */
function samplerOf({ sampler, ratio }: OtlpOptions): Sampler {
  const roots = {
    always_on: () => new AlwaysOnSampler(),
    always_off: () => new AlwaysOffSampler(),
    traceidratio: () => new TraceIdRatioBasedSampler(ratio),
  };
  const name = sampler.replace('parentbased_', '') as keyof typeof roots;
  const root = roots[name]();
  return sampler.startsWith('parentbased_') ? new ParentBasedSampler({ root }) : root;
}

/** Says when a collector is lost and when it is there again, and nothing in between. */
function logged(exporter: SpanExporter, log: Logger): SpanExporter {
  let isLost = false;
  return {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        const hasFailed = result.code !== 0;
        if (hasFailed && !isLost) log.warn('traces-not-exported', { error: result.error });
        if (!hasFailed && isLost) log.info('traces-exported-again');
        isLost = hasFailed;
        done(result);
      }),
    forceFlush: async () => await exporter.forceFlush?.(),
    shutdown: () => exporter.shutdown(),
  };
}
