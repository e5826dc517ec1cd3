/** What the platform provides as globals, passed in as a value: tests pass other ones. */
export type Platform = {
  fetch: (url: string | URL, init?: RequestInit) => Promise<Response>;
  /** The cache of this location. */
  coloCache: Cache;
  /** Milliseconds since the epoch. */
  now: () => number;
  /** A whole number below 2^32: the seed of a generation whose request gives none. */
  randomSeed: () => number;
};

/** What Cloudflare binds to the Worker: the KV namespace, and the variables of the configuration. */
export type Env = { EMBEDDINGS: KVNamespace } & Readonly<Record<string, unknown>>;
