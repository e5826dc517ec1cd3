/** The same requests for real and on paper: an open loop against one, two and three real workers, and their simulation. */
import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { WORKER_OPTIONS } from '@blip2/gpu-worker/config';
import { withDefaults } from '@blip2/shared/config/option';
import { freshImages } from '../bench/requests.ts';
import { exchange } from '../load/exchange.ts';
import { Latencies } from '../load/latencies.ts';
import { openLoop, systemClock } from '../load/open-loop.ts';
import { seededRandom } from '../load/random.ts';
import { startStack } from '../local-stack.ts';
import { demand } from './arrivals.ts';
import { ONE_THREAD } from './measure.ts';
import { ask, question } from './real-requests.ts';
import type { ServiceTimes } from './service-times.ts';
import { type Arrival, simulate } from './simulation.ts';
import type { WorkerSettings } from './worker.ts';
import { type WorkerCounts, workerCounts } from './worker-metrics.ts';
import { zipf } from './zipf.ts';

export type ValidationOptions = {
  times: ServiceTimes;
  rate: number;
  seconds: number;
  seed: number;
  workers: number;
};

/** Latencies are in ms. */
export type Figures = {
  perSecond: number;
  failed: number;
  firstTokenP50: number;
  firstTokenP95: number;
  replyP50: number;
  replyP95: number;
  /** Share of requests for which no image was encoded. */
  hitRatio: number;
  /** Share of prompts whose image positions a worker had cached. */
  prefixRatio: number;
};

export type Validation = {
  workers: number;
  measured: Figures;
  simulated: Figures;
  /** What workers and images were called: it decides which worker got which. */
  urls: readonly string[];
  ids: readonly string[];
};

const IMAGES = 300;
const SKEW = 0.8;
const TOKENS = 16;
/** Requests before the first that count: code gets warm, of the service and of its clients. */
const WARM_UP = 60;
const WARM_UP_MS = 5000;
/** Embeddings that are cached: nothing is dropped in a run. */
const ROOM = 1_000_000;

export async function validate({
  times,
  rate,
  seconds,
  seed,
  workers,
}: ValidationOptions): Promise<Validation> {
  const random = seededRandom(seed);
  const arrivals = [
    ...demand(
      { rate, durationMs: 1000 * seconds, image: zipf(IMAGES, SKEW), tokens: TOKENS },
      random,
    ),
  ];
  const images = await freshImages(IMAGES + WARM_UP / 2);
  const stack = await startStack({ workers, workerEnv: ONE_THREAD });
  try {
    const warming = images.slice(IMAGES);
    for (let i = 0; i < WARM_UP; i++) {
      await ask(stack.url, question(warming[i % warming.length]!, 90_000 + i, TOKENS));
    }
    const urls = stack.workers.map(({ url }) => url);
    const measured = await measureRun(stack.url, urls, arrivals, images);
    const ids = images.map((bytes) => createHash('sha256').update(bytes).digest('hex'));
    const simulated = simulateRun(times, { arrivals, urls, ids, seed });
    return { workers, measured, simulated, urls, ids };
  } finally {
    await stack.stop();
  }
}

async function measureRun(
  url: string,
  workerUrls: readonly string[],
  arrivals: readonly Arrival[],
  images: readonly Uint8Array<ArrayBuffer>[],
): Promise<Figures> {
  const before = await countsOf(workerUrls);
  const [firstToken, reply] = [new Latencies(), new Latencies()];
  let failed = 0;
  let [next, ended] = [0, 0];
  const start = systemClock.now();
  await openLoop({
    due: arrivals.map(({ dueAt }) => dueAt),
    send: async (dueAt) => {
      const number = next++;
      const { image, tokens, dueAt: sinceStart } = arrivals[number]!;
      const request = question(images[image]!, number, tokens);
      const { failure, firstTokenAt, endAt } = await exchange(url, request, systemClock);
      ended = Math.max(ended, endAt);
      if (failure !== null) failed += 1;
      if (failure !== null || sinceStart < WARM_UP_MS) return;
      firstToken.record((firstTokenAt ?? endAt) - dueAt);
      reply.record(endAt - dueAt);
    },
  });
  const after = await countsOf(workerUrls);
  const of = (count: keyof WorkerCounts) => after[count] - before[count];
  return figures({
    replies: arrivals.length - failed,
    failed,
    seconds: (ended - start) / 1000,
    firstToken,
    reply,
    arrivals: arrivals.length,
    encodes: of('encodes'),
    prefixes: { hits: of('prefixHits'), misses: of('prefixMisses') },
  });
}

function simulateRun(
  times: ServiceTimes,
  run: {
    arrivals: readonly Arrival[];
    urls: readonly string[];
    ids: readonly string[];
    seed: number;
  },
): Figures {
  const { arrivals, urls, ids, seed } = run;
  const outcome = simulate({
    seed,
    arrivals,
    times,
    worker: realSettings(times),
    workers: urls.length,
    urls,
    keyOf: (image) => ids[image]!,
    // Nobody says who calls a local edge.
    clientOf: () => 'unnamed',
    edgeCache: { room: ROOM },
    cores: times.cores,
    warmUpMs: WARM_UP_MS,
  });
  const { refused, lost, endedAt } = outcome;
  return figures({ ...outcome, failed: refused + lost, seconds: endedAt / 1000 });
}

/** As `npm start` has them on this machine. */
export function realSettings(times: ServiceTimes): WorkerSettings {
  const { maxSlots, reserveSlots = maxSlots, ...options } = withDefaults(WORKER_OPTIONS);
  return {
    maxSlots,
    reserveSlots,
    chunkTokens: options.prefillChunkTokens,
    queueLimit: options.queueLimit,
    decoders: Math.min(4, Math.max(2, availableParallelism())),
    prefixImages: times.engine.prefixImages,
  };
}

type Run = {
  replies: number;
  arrivals: number;
  failed: number;
  seconds: number;
  firstToken: Latencies;
  reply: Latencies;
  encodes: number;
  prefixes: { hits: number; misses: number };
};

function figures({ firstToken, reply, prefixes: { hits, misses }, ...run }: Run): Figures {
  return {
    perSecond: run.replies / run.seconds,
    failed: run.failed,
    firstTokenP50: firstToken.at(50) ?? Number.NaN,
    firstTokenP95: firstToken.at(95) ?? Number.NaN,
    replyP50: reply.at(50) ?? Number.NaN,
    replyP95: reply.at(95) ?? Number.NaN,
    hitRatio: 1 - run.encodes / run.arrivals,
    prefixRatio: hits / (hits + misses),
  };
}

async function countsOf(urls: readonly string[]): Promise<WorkerCounts> {
  const all = await Promise.all(urls.map(workerCounts));
  return all.reduce((sum, counts) => ({
    encodes: sum.encodes + counts.encodes,
    prefixHits: sum.prefixHits + counts.prefixHits,
    prefixMisses: sum.prefixMisses + counts.prefixMisses,
    prefixBytes: sum.prefixBytes + counts.prefixBytes,
  }));
}
