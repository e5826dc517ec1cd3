/** What the routes work with: made once per isolate from the bindings. */
import type { EmbeddingSpace } from '@blip2/shared/cache-key';
import type { EmbeddingShape } from '@blip2/shared/embedding-codec';
import type { EmbeddingKind } from '@blip2/shared/wire';
import { type Env, readSettings, type Settings } from './config.ts';
import { EmbeddingCache, type KnownImage, type WaitUntil } from './embeddings/embedding-cache.ts';
import { SingleFlight } from './embeddings/single-flight.ts';
import { GpuClient } from './gpu/client.ts';
import { model, retrievalModel } from './model-manifest.ts';

/** Kept embeddings of one kind. */
export type Store = {
  cache: EmbeddingCache;
  /** Encodes under way, by the image's SHA-256. */
  encodes: SingleFlight<KnownImage>;
};

export type Services = {
  settings: Settings;
  kv: KVNamespace;
  stores: { query: Store; itc?: Store };
  gpu: GpuClient;
};

/** What belongs to one request. */
export type Scope = {
  id: string;
  /** The client's address, where the platform tells it: who asks much waits behind themselves. */
  client?: string;
  /** Aborted when the client goes away. */
  signal: AbortSignal;
  /** Milliseconds since the epoch at which the request is given up. */
  deadlineAt: number;
  waitUntil: WaitUntil;
};

/** @throws ZodError when a variable is missing or wrong */
export function createServices(env: Env): Services {
  const settings = readSettings(env);
  const store = (space: EmbeddingSpace, shape: EmbeddingShape): Store => ({
    cache: new EmbeddingCache(env.EMBEDDINGS, space, shape),
    encodes: new SingleFlight(),
  });
  const { retrieval } = model;
  return {
    settings,
    kv: env.EMBEDDINGS,
    stores: {
      query: store({ kind: 'query', ...model }, shapeOf('query')),
      ...(retrieval && { itc: store({ kind: 'itc', ...retrieval }, shapeOf('itc')) }),
    },
    gpu: new GpuClient(settings.gpuWorkerUrl),
  };
}

/** @throws ApiError `no-retrieval-model` for `itc` where no model compares */
export function storeOf({ stores }: Services, kind: EmbeddingKind): Store {
  if (kind === 'query') return stores.query;
  retrievalModel();
  return stores.itc as Store;
}

/** Shape of an image's embeddings. @throws ApiError `no-retrieval-model` */
export function shapeOf(kind: EmbeddingKind): EmbeddingShape {
  if (kind === 'query') return { numQueries: model.num_query_tokens, hidden: model.qformer_hidden };
  const { num_query_tokens, itc_hidden } = retrievalModel();
  return { numQueries: num_query_tokens, hidden: itc_hidden };
}
