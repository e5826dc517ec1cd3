/** What the routes work with: made once per isolate from the bindings. */
import { EmbeddingCache, type KnownImage, type WaitUntil } from './cache/embedding-cache.ts';
import { SingleFlight } from './cache/single-flight.ts';
import { GpuClient } from './gpu/client.ts';
import { model } from './model.ts';
import { type Env, readSettings, type Settings } from './settings.ts';

export type Services = {
  settings: Settings;
  kv: KVNamespace;
  cache: EmbeddingCache;
  /** Encodes under way, by the picture's SHA-256. */
  encodes: SingleFlight<KnownImage>;
  gpu: GpuClient;
};

/** What belongs to one request. */
export type Scope = {
  id: string;
  /** Aborted when the client goes away. */
  signal: AbortSignal;
  /** Milliseconds since the epoch at which the request is given up. */
  deadlineAt: number;
  waitUntil: WaitUntil;
};

/** @throws ZodError when a variable is missing or wrong */
export function createServices(env: Env): Services {
  const settings = readSettings(env);
  const shape = { numQueries: model.num_query_tokens, hidden: model.qformer_hidden };
  return {
    settings,
    kv: env.EMBEDDINGS,
    cache: new EmbeddingCache(env.EMBEDDINGS, model, shape),
    encodes: new SingleFlight(),
    gpu: new GpuClient(settings.gpuWorkerUrl),
  };
}
