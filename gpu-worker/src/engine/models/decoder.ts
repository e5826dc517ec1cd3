/** The interface of a language model over the keys and values of its slots, the same for OPT and T5. */
import { createHash } from 'node:crypto';
import { keyPrefixOf } from '../dropped-images.ts';
import type { KvCapacity } from '../kv/kv-budget.ts';
import type { KvCache, Range } from '../kv/kv-cache.ts';
import type { Priority } from '../kv/prefix-cache.ts';
import type { Origin } from '../protocol.ts';
import type { KvUsage } from '../stats.ts';
import type { ForwardOutput } from './forward-output.ts';

/** An image and a text to continue. Its positions are the image positions, then one for each id. */
export type Prompt = {
  /** Names the image within its namespace: prompts with the same key have the same query embeddings. */
  imageKey: string;
  origin?: Origin | undefined;
  /** Whether somebody waits for it, as where nothing is said. */
  priority?: Priority;
  /** float32 [image positions, hidden] */
  queryEmbeddings: Float32Array;
  /** Text ids, without the image positions. */
  ids: readonly number[];
};

/**
 * Positions of a prompt that a pass computes. Those before them are in the row's slot already. From 0 on, the image
 * positions are among them, all of them; the rows of a batch all begin so, or none of them.
 */
export type PrefillRow = { prompt: Prompt; positions: Range };

/** One token of a sequence: the id it reads, and the positions it has in the cache. */
export type DecodeRow = { readonly nextToken: number; readonly cachedPositions: number };

export type PrefillBatch = {
  kind: 'prefill';
  /** The rows hold consecutive slots from this one on. */
  firstSlot: number;
  rows: readonly PrefillRow[];
};

export type DecodeBatch = {
  kind: 'decode';
  /** The slots 0 … n−1; null leaves a slot as it is. */
  rows: readonly (DecodeRow | null)[];
};

/** @example promptOf(queryEmbeddings, [2, 45, 16]) */
export function promptOf(
  queryEmbeddings: Float32Array,
  ids: readonly number[],
  { origin, priority = 'interactive' }: Pick<Prompt, 'origin' | 'priority'> = {},
): Prompt {
  const { buffer, byteOffset, byteLength } = queryEmbeddings;
  // A hash of the embeddings names their image: cached and computed ones have the same bits, rounded alike.
  const hash = createHash('sha256')
    .update(new Uint8Array(buffer, byteOffset, byteLength))
    .digest('base64');
  const imageKey = keyPrefixOf(origin?.image ?? '') + hash;
  return { imageKey, origin, priority, queryEmbeddings, ids };
}

/** What one pass computes. */
export type ForwardBatch = PrefillBatch | DecodeBatch;

/** It only computes: the scheduler decides who runs, the KV manager what is computed and what is cached. */
export type Decoder = {
  /**
   * Whether a position attends only to those before it: then a prompt may be computed chunk by chunk, and its beginning
   * reused. Else each prompt is computed in one pass.
   */
  readonly isCausal: boolean;
  /** Positions of an image, in front of the text. */
  readonly imagePositions: number;
  /** Keys and values of the slots' own positions. */
  readonly cache: KvCache;
  /** Positions of the cache that a prompt holds of whose text so many ids are computed. */
  cachedPositions(textIds: number): number;
  /** Token ids that penalties count as present before the first token. */
  promptTokenIds(prompt: Prompt): number[];
  /**
   * One pass over the model's weights. Nothing is in the slots before the output is committed.
   * @example
   * using out = await decoder.forward(batch);
   * emit(out.logits);
   * await out.commit();
   */
  forward(batch: ForwardBatch): Promise<ForwardOutput>;
  /** Makes the positions `start` … `end` − 1 of slot `to` those of slot `from`; before them both are the same. */
  copySlot(from: number, to: number, positions: Range): void;
  /** Has no more slots and positions than these: no sequence holds any behind them. */
  shrink(most: KvCapacity): void;
  readonly usage: KvUsage;
  /** Frees the memory of slots that a burst needed; only while no slot is held. */
  reset(): void;
  release(): Promise<void>;
};
