/** Metrics of the running worker in Prometheus' text format; where vLLM has the same metric, by its name. */
import {
  Counter,
  collectDefaultMetrics,
  Gauge,
  Histogram,
  type OpenMetricsContentType,
  Registry,
} from 'prom-client';
import type { EngineClient, EngineListener } from './engine/client.ts';
import type { DecodePool } from './image/decode-pool.ts';
import { type JobMeter, measureJobs } from './job-metrics.ts';

export type Metrics = {
  /** In OpenMetrics' form where it is accepted: that one has exemplars. */
  scrape: (accept: string) => Promise<Scrape>;
  jobs: JobMeter;
};
type Scrape = { contentType: string; text: string };

/** The parts of the engine that are measured. */
export type MeasuredEngine = Pick<EngineClient, 'admitted' | 'slots' | 'listen'>;
/** The parts of the decoding of images that are measured. */
export type MeasuredDecoder = Pick<DecodePool, 'waiting' | 'memory' | 'listen'>;

/** From the embedded model's tenth of a millisecond to a queue of minutes. */
const SECONDS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];

/** @param executionProvider label of every metric */
export function createMetrics(
  engine: MeasuredEngine,
  decoder: MeasuredDecoder,
  executionProvider: string,
): Metrics {
  const { registry: open, jobs } = createRegistry(engine, decoder);
  collectDefaultMetrics({ register: open });
  const labels = { execution_provider: executionProvider };
  open.setDefaultLabels(labels);
  const plain = new Registry();
  plain.setDefaultLabels(labels);
  // The one takes `_total` off the names of counters, for good: off copies, as the other needs it.
  const metrics = open.getMetricsAsArray();
  open.getMetricsAsArray = () =>
    metrics.map((metric) => (metric instanceof Counter ? Object.create(metric) : metric));
  plain.getMetricsAsArray = () => metrics;
  const scrape = async (accept: string) => {
    const accepted = accept.includes('application/openmetrics-text') ? open : plain;
    return { contentType: accepted.contentType, text: await accepted.metrics() };
  };
  return { scrape, jobs };
}

/** Exemplars are for registries of this form alone. */
type OpenRegistry = Registry<OpenMetricsContentType>;

/** Our own metrics, without those of the process. */
export function createRegistry(
  engine: MeasuredEngine,
  decoder: MeasuredDecoder,
): { registry: OpenRegistry; jobs: JobMeter } {
  const registry: OpenRegistry = new Registry();
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  engine.listen(listenerInto(registry, engine.slots));
  measureDecoding(registry, decoder);
  new Gauge({
    name: 'blip2_num_requests_admitted',
    help: 'Requests that wait or run: admitted, and not ended yet',
    registers: [registry],
    collect() {
      this.set(engine.admitted);
    },
  });
  return { registry, jobs: measureJobs(registry) };
}

function measureDecoding(registry: OpenRegistry, decoder: MeasuredDecoder): void {
  const registers = [registry];
  new Gauge({
    name: 'blip2_num_images_waiting',
    help: 'Images that wait for a process that decodes them, or for memory',
    registers,
    collect() {
      this.set(decoder.waiting);
    },
  });
  new Gauge({
    name: 'blip2_decode_memory_bytes',
    help: 'Memory that is set aside for the images that are decoded now',
    registers,
    collect() {
      this.set(decoder.memory);
    },
  });
  const ended = new Counter({
    name: 'blip2_decode_processes_ended_total',
    help: 'Processes that decode images and were killed or crashed, by reason: deadline, memory, canceled (nobody waits for the image), crash, outside (killed or stopped by the system or a person), or stuck (it had an image and did nothing)',
    labelNames: ['reason'],
    registers,
  });
  decoder.listen({ onEnded: (reason) => ended.inc({ reason }) });
}

function listenerInto(registry: OpenRegistry, slots: number): EngineListener {
  const registers = [registry];
  const gauge = (name: string, help: string, labelNames: string[] = []) =>
    new Gauge({ name, help, labelNames, registers });
  const seconds = (name: string, help: string, labelNames: string[] = []) =>
    new Histogram({ name, help, labelNames, buckets: SECONDS, registers });
  const latency = (name: string, help: string) =>
    new Histogram({ name, help, buckets: SECONDS, registers, enableExemplars: true });
  const counter = (name: string, help: string, labelNames: string[] = []) =>
    new Counter({ name, help, labelNames, registers });

  const waitingRequests = gauge(
    'blip2_num_requests_waiting',
    'Requests that wait for work on their image (image) or for slots (slots)',
    ['stage'],
  );
  const runningSequences = gauge(
    'blip2_num_requests_running',
    'Sequences that get a token with each decode step; a request has n or num_beams of them',
  );
  const kvUsage = gauge(
    'blip2_kv_cache_usage',
    'Sequences that get a token with each decode step, by BLIP2_MAX_SLOTS: above 1 while the reserve is used',
  );
  const kvBytes = gauge('blip2_kv_cache_bytes', 'Memory of the keys and values of all slots');
  const deviceTensors = gauge('blip2_device_tensors', 'Tensors that are held on the device');
  const prefixBytes = gauge(
    'blip2_prefix_cache_bytes',
    'Memory of the keys and values of images and conversations that may continue',
  );
  const prefixLookups = counter(
    'blip2_prefix_cache_lookups_total',
    'Look-ups of the image positions of a prompt, by result: hit or miss',
    ['result'],
  );
  const prefixTokens = counter(
    'blip2_prefix_cache_hit_text_tokens_total',
    'Text tokens of prompts that did not have to be computed again',
  );
  const featureBytes = gauge('blip2_image_feature_cache_bytes', 'Memory of image features');
  const featureLookups = counter(
    'blip2_image_feature_cache_lookups_total',
    'Look-ups of image features, by result: hit, or miss, which is a run of the image encoder',
    ['result'],
  );
  const actionSeconds = seconds(
    'blip2_engine_action_seconds',
    'Time of one action of the engine, by action',
    ['action'],
  );
  const batchSize = new Histogram({
    name: 'blip2_decode_batch_size',
    help: 'Sequences that share a decode step',
    buckets: [1, 2, 4, 8, 16, 32, 64],
    registers,
  });
  const firstToken = latency(
    'blip2_time_to_first_token_seconds',
    'From the submission of a request to the engine to its first token',
  );
  const nextToken = latency(
    'blip2_inter_token_latency_seconds',
    'Between two times that a request gets tokens',
  );
  const tokens = counter('blip2_generation_tokens_total', 'Tokens generated');
  const requests = counter(
    'blip2_requests_total',
    'Requests that ended, by kind and outcome: done, failed or canceled',
    ['kind', 'outcome'],
  );
  const rejected = counter(
    'blip2_requests_rejected_total',
    'Requests that were not admitted: the queue, or the share of a client or of background work, was full',
  );
  const addPrefixLookups = increments(prefixLookups);
  const addFeatureLookups = increments(featureLookups);
  let textPositions = 0;

  return {
    onStats: ({ done, waiting, running, memory, features }) => {
      if (done !== null) actionSeconds.observe({ action: done.action }, done.ms / 1000);
      if (done?.action === 'step') batchSize.observe(done.rows);
      waitingRequests.set({ stage: 'image' }, waiting.images);
      waitingRequests.set({ stage: 'slots' }, waiting.prefill);
      runningSequences.set(running);
      kvUsage.set(running / slots);
      kvBytes.set(memory.kvBytes);
      deviceTensors.set(memory.deviceTensors);
      if (memory.prefixes !== undefined) {
        prefixBytes.set(memory.prefixes.bytes);
        addPrefixLookups(memory.prefixes);
        prefixTokens.inc(memory.prefixes.textPositions - textPositions);
        textPositions = memory.prefixes.textPositions;
      }
      featureBytes.set(features.bytes);
      addFeatureLookups(features);
    },
    onStart: () => {},
    onTokens: (_, { token, seconds: value, count, traceId }) => {
      const exemplarLabels = traceId === undefined ? {} : { trace_id: traceId };
      (token === 'first' ? firstToken : nextToken).observe({ labels: {}, value, exemplarLabels });
      tokens.inc(count);
    },
    onEnd: (_, kind, outcome) => requests.inc({ kind, outcome }),
    onRejected: () => rejected.inc(),
  };
}

/** Look-ups are reported as totals since the start; a counter is incremented by what is new. */
function increments(counter: Counter): (totals: { hits: number; misses: number }) => void {
  let last = { hits: 0, misses: 0 };
  return ({ hits, misses }) => {
    counter.inc({ result: 'hit' }, hits - last.hits);
    counter.inc({ result: 'miss' }, misses - last.misses);
    last = { hits, misses };
  };
}
