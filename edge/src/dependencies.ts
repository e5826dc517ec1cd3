/** The dependencies of the request handlers: made once per isolate, passed down as a value. */
import type { EmbeddingKind } from '@blip2/shared/wire';
import { type Config, readConfig } from './config.ts';
import { createEmbeddingStore, type EmbeddingStore } from './embeddings/embedding-store.ts';
import { ReplyMemory } from './generation/reply-memory.ts';
import { GpuClient } from './gpu/client.ts';
import type { IdempotentReplies } from './idempotency/idempotent-replies.ts';
import type { Access } from './keys/authenticate.ts';
import { KeyStore } from './keys/key-store.ts';
import { noRetrievalModel, type ServedModels } from './model-manifest.ts';
import type { Env, Platform } from './platform.ts';

export type Dependencies = Pick<Platform, 'now' | 'randomSeed'> & {
  /** Fetches from the hosts of image URLs. */
  fetch: Platform['fetch'];
  config: Config;
  models: ServedModels;
  kv: KVNamespace;
  stores: { query: EmbeddingStore; itc?: EmbeddingStore };
  access: Access;
  gpu: GpuClient;
  replies: ReplyMemory;
  /** Replies by `Idempotency-Key`; undefined where none are stored. */
  idempotency: DurableObjectNamespace<IdempotentReplies> | undefined;
};

const DAY_SECONDS = 86_400;

/** @throws ConfigError when a variable is wrong */
export function createDependencies(
  env: Env,
  models: ServedModels,
  { coloCache, fetch, now, randomSeed }: Platform,
): Dependencies {
  const config = readConfig(env);
  const { generate, retrieve } = models;
  const { IMAGE_NETWORK: network } = env;
  const caches = {
    kv: env.EMBEDDINGS,
    coloCache,
    now,
    timeoutMs: Math.min(config.cacheTimeoutMs, config.deadlineMs),
    ttlSeconds: config.embeddingTtlDays * DAY_SECONDS,
    secret: config.cacheSecret,
    flightMs: config.deadlineMs,
  };
  return {
    config,
    models,
    kv: env.EMBEDDINGS,
    stores: {
      query: createEmbeddingStore(caches, 'query', generate, generate.qformer_hidden),
      ...(retrieve && {
        itc: createEmbeddingStore(caches, 'itc', retrieve, retrieve.itc_hidden),
      }),
    },
    access: {
      allowAnonymous: config.allowAnonymous,
      keys: env.KEYS && new KeyStore({ kv: env.KEYS, now, timeoutMs: caches.timeoutMs }),
      now,
    },
    gpu: new GpuClient({
      baseUrl: config.gpuWorkerUrl,
      restartMs: config.restartMs,
      models,
      fetch,
      now,
    }),
    replies: new ReplyMemory(caches),
    idempotency: env.IDEMPOTENCY as Dependencies['idempotency'],
    fetch: network === undefined ? fetch : (url, init) => network.fetch(url, init),
    now,
    randomSeed,
  };
}

/** @throws ApiError `no-retrieval-model` for `itc` where no retrieval model is served */
export function storeOf({ stores }: Dependencies, kind: EmbeddingKind): EmbeddingStore {
  const store = stores[kind];
  if (store === undefined) throw noRetrievalModel();
  return store;
}
