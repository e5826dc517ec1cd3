/** A language model with the keys and values of its rows: what the engine sees of OPT and T5 alike. */
import type { Range } from '../kv/kv-cache.ts';
import type { EngineOptions } from '../protocol.ts';
import type { DecoderMemory } from '../stats.ts';
import { OptDecoder } from './opt-decoder.ts';
import { T5Decoder } from './t5-decoder.ts';

/** A text to go on from. */
export type DecoderPrompt = {
  /** Names the image: prompts with the same key have the same embeddings. */
  key: string;
  /** Query embeddings of the image positions, float32 [queries, hidden]. */
  image: Float32Array;
  /** Text ids, without the image positions. */
  ids: readonly number[];
};

/** One row of a step: the token it reads, and the positions it has in the cache already. */
export type DecoderRow = { token: number; past: number };

/**
 * Hears logits, float32 [vocab] a row, before keys and values are kept: whoever waits for a token need not wait for that.
 * They last as long as the call.
 */
export type OnLogits = (logits: Float32Array[]) => void;

/** Rows hold the slots 0 … n−1 of the cache without gaps. It only computes: who runs when is the engine's. */
export type Decoder = {
  /** Positions of the cache that hold a prompt. */
  positionsOf(prompt: DecoderPrompt): number;
  /** Ids that penalties count as seen before the first token. */
  seenOf(prompt: DecoderPrompt): number[];
  /** As much of a prompt as is read at a time, and how many positions that computes. */
  firstPiece(prompt: DecoderPrompt): { piece: DecoderPrompt; computed: number };
  /**
   * Reads prompts into consecutive slots.
   * @param onLogits after each prompt
   */
  prefill(firstSlot: number, prompts: readonly DecoderPrompt[], onLogits: OnLogits): Promise<void>;
  /**
   * Goes on reading a prompt in a slot: its ids from `start` to before `end`.
   * @param onLogits after the last of them
   */
  read(slot: number, prompt: DecoderPrompt, ids: Range, onLogits: OnLogits): Promise<void>;
  /**
   * One token for the rows in the slots 0 … n−1; null leaves a slot as it is.
   * @param onLogits after each row's token
   */
  step(rows: readonly (DecoderRow | null)[], onLogits: OnLogits): Promise<void>;
  /**
   * Makes slot `to` what slot `from` is, as far as position `end`.
   * @param start first position in which they differ
   */
  copy(from: number, to: number, positions: Range): void;
  readonly memory: DecoderMemory;
  /** Gives memory back; only while no slot is held. */
  reset(): void;
  release(): Promise<void>;
};

/** @throws Error that names the execution provider when it cannot be loaded */
export function loadDecoder(options: EngineOptions): Promise<Decoder> {
  const { manifest } = options;
  return manifest.family === 't5'
    ? T5Decoder.load({ ...options, manifest })
    : OptDecoder.load({ ...options, manifest });
}
