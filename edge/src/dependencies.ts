/** The dependencies of the request handlers: made once per isolate, passed down as a value. */
import type { EmbeddingKind } from '@blip2/shared/wire';
import { type Config, readConfig } from './config.ts';
import { createEmbeddingStore, type EmbeddingStore } from './embeddings/embedding-store.ts';
import { GpuClient } from './gpu/client.ts';
import { noRetrievalModel, type ServedModels } from './model-manifest.ts';
import type { Env, Platform } from './platform.ts';

export type Dependencies = Pick<Platform, 'fetch' | 'now' | 'randomSeed'> & {
  config: Config;
  models: ServedModels;
  kv: KVNamespace;
  stores: { query: EmbeddingStore; itc?: EmbeddingStore };
  gpu: GpuClient;
};

/** @throws ConfigError when a variable is wrong */
export function createDependencies(
  env: Env,
  models: ServedModels,
  { coloCache, fetch, now, randomSeed }: Platform,
): Dependencies {
  const config = readConfig(env);
  const { generate, retrieve } = models;
  const caches = { kv: env.EMBEDDINGS, coloCache, now };
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
    gpu: new GpuClient({
      baseUrl: config.gpuWorkerUrl,
      restartMs: config.restartMs,
      models,
      fetch,
      now,
    }),
    fetch,
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
