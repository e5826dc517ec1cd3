/** Figures of the running worker in Prometheus' text format. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { EngineClient, EngineListener } from './engine/client.ts';
import type { CacheStats } from './engine/stats.ts';

export type Metrics = { contentType: string; text: () => Promise<string> };

/** From the embedded model's tenth of a millisecond to a queue of minutes. */
const SECONDS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];

/** @param executionProvider label of everything */
export function createMetrics(engine: EngineClient, executionProvider: string): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ execution_provider: executionProvider });
  collectDefaultMetrics({ register: registry });
  engine.listen(listenerInto(registry));
  new Gauge({
    name: 'blip2_admitted_requests',
    help: 'Requests that hold a place',
    registers: [registry],
    collect() {
      this.set(engine.admitted);
    },
  });
  return { contentType: registry.contentType, text: () => registry.metrics() };
}

function listenerInto(registry: Registry): EngineListener {
  const registers = [registry];
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers });
  const seconds = (name: string, help: string, labelNames: string[] = []) =>
    new Histogram({ name, help, labelNames, buckets: SECONDS, registers });
  const counter = (name: string, help: string, labelNames: string[] = []) =>
    new Counter({ name, help, labelNames, registers });

  const waitingImages = gauge('blip2_waiting_images', 'Jobs that wait for work on their image');
  const waitingPrefill = gauge('blip2_waiting_prefill', 'Jobs that wait for slots');
  const running = gauge('blip2_running_rows', 'Texts that are being written');
  const kvBytes = gauge('blip2_kv_cache_bytes', 'Memory of the keys and values of all slots');
  const deviceTensors = gauge('blip2_device_tensors', 'Tensors that are held on the device');
  const prefixBytes = gauge('blip2_prefix_cache_bytes', 'Memory of what prompts begin with');
  const featureBytes = gauge('blip2_image_features_bytes', 'Memory of kept image features');
  const actions = seconds('blip2_engine_action_seconds', 'Time of one thing the engine does', [
    'action',
  ]);
  const batch = new Histogram({
    name: 'blip2_step_rows',
    help: 'Texts that share a decode step',
    buckets: [1, 2, 4, 8, 16, 32, 64],
    registers,
  });
  const prefixes = counter('blip2_prefix_cache_lookups_total', 'Look-ups of image positions', [
    'result',
  ]);
  const prefixTexts = counter(
    'blip2_prefix_cache_text_positions_total',
    'Text positions of prompts that did not have to be read again',
  );
  const features = counter(
    'blip2_image_features_lookups_total',
    'Images looked at: again (hit), or with a run of the image encoder (miss)',
    ['result'],
  );
  const firstToken = seconds(
    'blip2_time_to_first_token_seconds',
    'From submission to the first token',
  );
  const nextToken = seconds('blip2_inter_token_latency_seconds', 'Between two tokens of a request');
  const tokens = counter('blip2_tokens_total', 'Tokens written');
  const requests = counter('blip2_requests_total', 'Requests by what became of them', [
    'kind',
    'outcome',
  ]);
  const rejected = counter('blip2_rejected_requests_total', 'Requests that found no place');
  const countPrefixes = lookupsInto(prefixes);
  const countFeatures = lookupsInto(features);
  let textPositions = 0;

  return {
    observed: ({ done, waiting, running: now, memory, features }) => {
      if (done !== null) actions.observe({ action: done.action }, done.ms / 1000);
      if (done?.action === 'step') batch.observe(done.rows);
      waitingImages.set(waiting.images);
      waitingPrefill.set(waiting.prefill);
      running.set(now);
      kvBytes.set(memory.kvBytes);
      deviceTensors.set(memory.deviceTensors);
      if (memory.prefixes !== undefined) {
        prefixBytes.set(memory.prefixes.bytes);
        countPrefixes(memory.prefixes);
        prefixTexts.inc(memory.prefixes.textPositions - textPositions);
        textPositions = memory.prefixes.textPositions;
      }
      featureBytes.set(features.bytes);
      countFeatures(features);
    },
    begun: () => {},
    written: (_, { token, seconds: took, count }) => {
      (token === 'first' ? firstToken : nextToken).observe(took);
      tokens.inc(count);
    },
    ended: (_, kind, outcome) => requests.inc({ kind, outcome }),
    rejected: () => rejected.inc(),
  };
}

/** Look-ups come as totals since the start, a counter takes what is new. */
function lookupsInto(counter: Counter): (totals: CacheStats) => void {
  let known = { hits: 0, misses: 0 };
  return ({ hits, misses }) => {
    counter.inc({ result: 'hit' }, hits - known.hits);
    counter.inc({ result: 'miss' }, misses - known.misses);
    known = { hits, misses };
  };
}
