/** Fleets of many GPUs on paper: how many are needed, what a growing load and lost machines do to those who ask. */
import { seededRandom } from '../load/random.ts';
import { demand } from './arrivals.ts';
import type { ScalingRules } from './autoscaler.ts';
import type { ServiceTimes } from './service-times.ts';
import { type Arrival, type Outcome, type Scenario, simulate } from './simulation.ts';
import type { WorkerSettings } from './worker.ts';
import { zipf } from './zipf.ts';

/** What all plans have in common. */
export type Plan = {
  times: ServiceTimes;
  worker: WorkerSettings;
  seed: number;
  tokens: number;
  images: number;
  skew: number;
  /** Embeddings that the edge has room for. */
  cached: number;
  fresh: number;
  clusters?: number | undefined;
};

/** An edge knows so many addresses. */
const MOST_CLUSTERS = 16;
/** Isolates that have a share of the requests: one for so many a second. */
const RATE_OF_ISOLATE = 50;

/** Everything of a scenario but who comes. */
export function fleetOf(
  plan: Plan,
  { workers, rate }: { workers: number; rate: number },
): Omit<Scenario, 'arrivals'> {
  const { times, worker, seed, images, cached, clusters = Math.min(workers, MOST_CLUSTERS) } = plan;
  return {
    seed,
    times,
    worker,
    workers,
    urls: Array.from({ length: clusters }, (_, i) => `https://gpu-${i}.example.org`),
    isolates: Math.max(1, Math.round(rate / RATE_OF_ISOLATE)),
    keyOf: (image) => `image ${image}`,
    edgeCache: { room: cached },
    // As after a long time: those that are asked about most.
    cached: Array.from(
      { length: Math.min(images, cached) },
      (_, i) => Math.min(images, cached) - 1 - i,
    ),
  };
}

export function requestsOf(
  { seed, images, skew, fresh, tokens }: Plan,
  { rate, seconds, startMs = 0 }: { rate: number; seconds: number; startMs?: number },
): Iterable<Arrival> {
  const random = seededRandom(seed + startMs);
  const image = zipf(images, skew);
  return demand({ rate, durationMs: 1000 * seconds, image, fresh, tokens, startMs }, random);
}

/** What is wanted of a fleet: so many ms to the first token for 95 % of the requests, and nobody refused. */
export const TARGET_MS = 500;
/** Time for a fleet to fill, ms. */
const FILLING_MS = 4000;
/** Requests of one trial, and its least seconds. */
const REQUESTS = 12_000;
const LEAST_SECONDS = 8;

export type Trial = { workers: number; p95: number; hitRatio: number; isEnough: boolean };

function tried(plan: Plan, rate: number, workers: number): Trial {
  const seconds = Math.max(LEAST_SECONDS, REQUESTS / rate);
  const outcome = simulate({
    ...fleetOf(plan, { workers, rate }),
    arrivals: requestsOf(plan, { rate, seconds }),
    warmUpMs: FILLING_MS,
  });
  const p95 = outcome.firstToken.at(95) ?? Number.POSITIVE_INFINITY;
  const isEnough = outcome.refused === 0 && p95 <= TARGET_MS;
  return { workers, p95, hitRatio: 1 - outcome.encodes / outcome.arrivals, isEnough };
}

/**
 * The least number of workers that is enough, to 3 % of itself.
 * @param guess from where it is searched
 */
export function workersFor(plan: Plan, rate: number, guess: number): Trial {
  let low = 0;
  let high = Math.max(1, guess);
  let best = tried(plan, rate, high);
  while (!best.isEnough) {
    low = high;
    high = Math.ceil(1.25 * high);
    best = tried(plan, rate, high);
  }
  for (let less = Math.floor(high / 1.25); low === 0 && less > 0; less = Math.floor(high / 1.25)) {
    const trial = tried(plan, rate, less);
    if (trial.isEnough) [high, best] = [less, trial];
    else low = less;
  }
  while (high - low > Math.max(1, 0.03 * high)) {
    const middle = Math.floor((low + high) / 2);
    const trial = tried(plan, rate, middle);
    if (trial.isEnough) [high, best] = [middle, trial];
    else low = middle;
  }
  return best;
}

/** A load that grows at once, and a fleet that grows after it. */
export type Surge = {
  rate: number;
  factor: number;
  beforeS: number;
  surgeS: number;
  workers: number;
};

/** Seconds that share a point of the plot. */
const BUCKET_S = 10;

export type Point = { second: number; p95: number; workers: number };

/** The 95th percentile of times to first token of who came within each ten seconds, ms, and workers that took requests. */
export function surge(
  plan: Plan,
  shape: Surge,
  scaling: ScalingRules,
): { points: Point[]; outcome: Outcome } {
  const { rate, factor, beforeS, surgeS, workers } = shape;
  const buckets = new Map<number, number[]>();
  const sizes: { at: number; ready: number }[] = [];
  function* arrivals(): Generator<Arrival> {
    yield* requestsOf(plan, { rate, seconds: beforeS });
    yield* requestsOf(plan, { rate: factor * rate, seconds: surgeS, startMs: 1000 * beforeS });
  }
  const outcome = simulate({
    ...fleetOf(plan, { workers, rate }),
    arrivals: arrivals(),
    scaling,
    onReply: ({ dueAt, firstAt }) => {
      const bucket = Math.floor(dueAt / (1000 * BUCKET_S));
      const values = buckets.get(bucket) ?? [];
      values.push(firstAt - dueAt);
      buckets.set(bucket, values);
    },
    onFleet: (at, ready) => sizes.push({ at, ready }),
  });
  const points = [...buckets]
    .toSorted(([a], [b]) => a - b)
    .map(([bucket, values]) => {
      const sorted = values.toSorted((a, b) => a - b);
      const second = (bucket + 1) * BUCKET_S;
      return {
        second,
        p95: sorted[Math.floor(0.95 * sorted.length)]!,
        workers: sizes.findLast(({ at }) => at <= 1000 * second)?.ready ?? workers,
      };
    });
  return { points, outcome };
}

/** What the loss of machines does to those who ask. */
export function spot(
  plan: Plan,
  {
    rate,
    workers,
    seconds,
    lifeMs,
    replaceMs,
  }: { rate: number; workers: number; seconds: number; lifeMs: number; replaceMs: number },
): Outcome {
  return simulate({
    ...fleetOf(plan, { workers, rate }),
    arrivals: requestsOf(plan, { rate, seconds }),
    warmUpMs: FILLING_MS,
    spotLifeMs: lifeMs,
    replaceMs,
  });
}
