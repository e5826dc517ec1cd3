/** What the engine thread tells after each thing it has done: the HTTP thread never has to ask and wait. */

/** `read` goes on with a long prompt. */
export type Done = {
  action: 'images' | 'prefill' | 'read' | 'step';
  /** Milliseconds since the epoch. */
  startedAt: number;
  /** Milliseconds it took. */
  ms: number;
  /** Rows that took part; of `images` none. */
  rows: number;
};

export type Observation = {
  /** Nothing when there is no more to do. */
  done: Done | null;
  /** Jobs that wait for work on their image, and for slots. */
  waiting: { images: number; prefill: number };
  /** Rows that are being written. */
  running: number;
  memory: DecoderMemory;
  /** Image features; each miss is a run of an image encoder. */
  features: CacheStats;
};

/** Look-ups since the start that found something and that did not, and the memory of what is kept. */
export type CacheStats = { hits: number; misses: number; bytes: number };

/** What prompts begin with: look-ups of images, and text positions that did not have to be read again. */
export type PrefixCacheStats = CacheStats & { textPositions: number };

/** What a decoder holds; `deviceTensors`: how many tensors it has on the device. */
export type DecoderMemory = { kvBytes: number; deviceTensors: number; prefixes?: PrefixCacheStats };
