/** What the engine thread reports after each action: the HTTP thread never has to ask and wait. */

export type CompletedAction = {
  /** `prefill-chunk` continues a long prompt. */
  action: 'images' | 'prefill' | 'prefill-chunk' | 'step';
  /** Milliseconds since the epoch. */
  startedAt: number;
  /** Milliseconds it took. */
  ms: number;
  /** Sequences that took part; of `images` none. */
  rows: number;
  /** Of `images`: whether texts were compared, rather than an image encoded. */
  compares?: boolean;
  /** Ids of the jobs that it was for, where the engine is asked to report them. */
  jobs?: readonly number[];
};

export type EngineStats = {
  /** Null when there is no more to do. */
  done: CompletedAction | null;
  /** Jobs that wait for work on their image, and for slots. */
  waiting: { images: number; prefill: number };
  /** Sequences that get a token with each decode step. */
  running: number;
  memory: KvUsage & { prefixes?: PrefixCacheStats };
  /** Image features; each miss is a run of an image encoder. */
  features: CacheStats;
};

/** Hits and misses since the start, and the bytes that are cached now. */
export type CacheStats = { hits: number; misses: number; bytes: number };

/** Of the prefix cache: look-ups of images, and text positions that did not have to be computed again. */
export type PrefixCacheStats = CacheStats & { textPositions: number };

/** Memory of the slots' keys and values; `deviceTensors`: how many tensors are held on the device. */
export type KvUsage = { kvBytes: number; deviceTensors: number };
