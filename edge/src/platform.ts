/** What the platform provides as globals, passed in as a value: tests pass other ones. */
import type { CallerObjects } from './limits/limiter.ts';

export type Platform = {
  fetch: (url: string | URL, init?: RequestInit) => Promise<Response>;
  /** The cache of this location. */
  coloCache: Cache;
  /** Milliseconds since the epoch. */
  now: () => number;
  /** A whole number below 2^32: the seed of a generation whose request gives none. */
  randomSeed: () => number;
};

/**
 * What is bound to the Worker: the KV namespaces of embeddings and of keys, the objects that count limits and those of predictions and of replies by `Idempotency-Key`, the variables of the configuration and, where the platform's own `fetch`
 * reaches private addresses, a network that does not, for the URLs of images and webhooks (`image/connection-failure.ts`); and the network in which GPU workers are, or the certificate that is shown to them.
 */
export type Env = {
  EMBEDDINGS: KVNamespace;
  KEYS?: KVNamespace;
  PREDICTIONS?: DurableObjectNamespace;
  LIMITS?: CallerObjects;
  IMAGE_NETWORK?: Fetcher;
  GPU_NETWORK?: Fetcher;
  IDEMPOTENCY?: DurableObjectNamespace;
  JOB_INDEX?: DurableObjectNamespace;
  JOB_FILES?: R2Bucket;
  JOB_IMAGES?: R2Bucket;
  JOBS?: DurableObjectNamespace;
  JOB_PARTS?: DurableObjectNamespace;
} & Readonly<Record<string, unknown>>;
