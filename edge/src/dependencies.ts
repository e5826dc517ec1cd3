/** The dependencies of the request handlers: made once per isolate, passed down as a value. */

import { noRetrievalModel, type ServedModels } from '@blip2/shared/served-models';
import type { EmbeddingKind } from '@blip2/shared/wire';
import { type Config, readConfig, workersOf } from './config.ts';
import { Deletions } from './deletion/deletions.ts';
import { createEmbeddingStore, type EmbeddingStore } from './embeddings/embedding-store.ts';
import { ReplyCache } from './generation/reply-cache.ts';
import { ReplyMemory } from './generation/reply-memory.ts';
import { gpuNetwork } from './gpu/network.ts';
import { type Gpu, GpuWorkers } from './gpu/workers.ts';
import type { IdempotentReplies } from './idempotency/idempotent-replies.ts';
import { overNetwork } from './image/connection-failure.ts';
import type { ImageResolver } from './image/image-input.ts';
import type { Access } from './keys/authenticate.ts';
import { KeyStore } from './keys/key-store.ts';
import { Namespaces } from './keys/namespaces.ts';
import { Limiter } from './limits/limiter.ts';
import { MeteredGpu } from './limits/metered-gpu.ts';
import type { Env, Platform } from './platform.ts';
import { WorkInHand } from './work-in-hand.ts';

export type Dependencies = Pick<Platform, 'now' | 'randomSeed'> & {
  /** Fetches from the hosts of image URLs. */
  fetch: Platform['fetch'];
  /** Fetches from hosts that the configuration names, wherever they are. */
  fetchConfigured: Platform['fetch'];
  /** Resolves images in another way than by their bytes and URLs: where a request is only tried (`jobs/rehearsal.ts`), or a stored file is read as late as can be. */
  images?: ImageResolver;
  /** What the isolate works on. */
  work: WorkInHand;
  config: Config;
  models: ServedModels;
  kv: KVNamespace;
  coloCache: Cache;
  deletions: Deletions;
  stores: { query: EmbeddingStore; itc?: EmbeddingStore };
  access: Access;
  limiter: Limiter;
  gpu: Gpu;
  replies: ReplyMemory;
  /** Objects of `PredictionObject`, one for each caller; absent where none are bound. */
  predictions: DurableObjectNamespace | undefined;
  replyCache: ReplyCache;
  /** Objects of `JobIndex`, one for each owner of files and jobs; absent where none are bound. */
  jobIndex: DurableObjectNamespace | undefined;
  /** Files, and lines and results of jobs. */
  jobFiles: R2Bucket | undefined;
  /** The operator's own images, of which jobs may be made. */
  jobImages: R2Bucket | undefined;
  /** Objects of `JobBase` and of `JobPartBase`; absent where they are not bound, or there is no queue. */
  jobs: DurableObjectNamespace | undefined;
  jobParts: DurableObjectNamespace | undefined;
  /** Replies by `Idempotency-Key`; undefined where none are stored. */
  idempotency: DurableObjectNamespace<IdempotentReplies> | undefined;
};

const DAY_SECONDS = 86_400;
const HOUR_SECONDS = 3600;

/** @throws ConfigError when a variable is wrong */
export function createDependencies(
  env: Env,
  models: ServedModels,
  { coloCache, fetch, now, randomSeed }: Platform,
): Dependencies {
  const config = configOf(env);
  const { generate, retrieve } = models;
  const { IMAGE_NETWORK: network } = env;
  const services = {
    kv: env.EMBEDDINGS,
    coloCache,
    now,
    timeoutMs: Math.min(config.cacheTimeoutMs, config.deadlineMs),
    ttlSeconds: config.embeddingTtlDays * DAY_SECONDS,
    secret: config.cacheSecret,
    flightMs: config.deadlineMs,
  };
  const deletions = new Deletions(services);
  const caches = { ...services, deletions };
  return {
    work: new WorkInHand(),
    config,
    models,
    kv: env.EMBEDDINGS,
    coloCache,
    deletions,
    stores: {
      query: createEmbeddingStore(caches, 'query', generate, generate.qformer_hidden),
      ...(retrieve && {
        itc: createEmbeddingStore(caches, 'itc', retrieve, retrieve.itc_hidden),
      }),
    },
    access: {
      allowAnonymous: config.allowAnonymous,
      namespaces: new Namespaces(config.cacheSecret),
      keys: env.KEYS && new KeyStore({ kv: env.KEYS, now, timeoutMs: caches.timeoutMs }),
      now,
    },
    limiter: new Limiter({ objects: env.LIMITS, config, now }),
    gpu: new MeteredGpu(
      new GpuWorkers({
        addresses: workersOf(config),
        secret: config.gpuWorkerSecrets[0],
        requestsPerWorker: config.requestsPerWorker,
        restartMs: config.restartMs,
        hedges: config.hedgeRequests,
        models,
        fetch: gpuNetwork(env, config, fetch),
        now,
      }),
      generate.num_query_tokens,
    ),
    replies: new ReplyMemory(caches),
    predictions: env.PREDICTIONS,
    jobIndex: env.JOB_INDEX,
    jobFiles: env.JOB_FILES,
    jobImages: env.JOB_IMAGES,
    ...jobsOf(env, config),
    replyCache: new ReplyCache({
      ...caches,
      ttlSeconds: config.replyTtlHours * HOUR_SECONDS,
      usesKv: config.cacheRepliesInKv,
    }),
    idempotency: env.IDEMPOTENCY as Dependencies['idempotency'],
    fetch: network === undefined ? fetch : overNetwork(network),
    fetchConfigured: fetch,
    now,
    randomSeed,
  };
}

/** Of the bindings that objects of an isolate have in common: each has dependencies of its own, and to read variables takes a millisecond. */
const configs = new WeakMap<Env, Config>();

function configOf(env: Env): Config {
  const config = configs.get(env) ?? readConfig(env);
  configs.set(env, config);
  return config;
}

/** All that runs jobs, or nothing. */
function jobsOf(env: Env, config: Config): Pick<Dependencies, 'jobs' | 'jobParts'> {
  const { JOBS: jobs, JOB_PARTS: jobParts, JOB_FILES: bucket } = env;
  const { jobsQueueUrl, awsAccessKeyId, awsSecretAccessKey, jobsSecrets } = config;
  const hasQueue = jobsQueueUrl && awsAccessKeyId && awsSecretAccessKey && jobsSecrets.length > 0;
  const isComplete = jobs && jobParts && bucket && hasQueue;
  return isComplete ? { jobs, jobParts } : { jobs: undefined, jobParts: undefined };
}

/** @throws ApiError `no-retrieval-model` for `itc` where no retrieval model is served */
export function storeOf({ stores }: Dependencies, kind: EmbeddingKind): EmbeddingStore {
  const store = stores[kind];
  if (store === undefined) throw noRetrievalModel();
  return store;
}
