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
  /** Jobs that wait for work on their picture, and for slots. */
  waiting: { images: number; prefill: number };
  /** Rows that are being written. */
  running: number;
  memory: DecoderMemory;
};

/**
 * What a decoder holds. `prefixes`: look-ups of image positions since the start, and their memory; `deviceTensors`: how many
 * tensors it has on the device.
 */
export type DecoderMemory = {
  kvBytes: number;
  deviceTensors: number;
  prefixes?: { hits: number; misses: number; bytes: number };
};
