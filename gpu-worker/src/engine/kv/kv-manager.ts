/**
 * Decides which positions of prompts a pass computes, chunk by chunk, and which come from the prefix cache: a question
 * about an image is not computed twice. A prompt gets the same numbers either way.
 */
import type { DroppedImages } from '../dropped-images.ts';
import type { Decoder, ForwardBatch, PrefillBatch, Prompt } from '../models/decoder.ts';
import type { EngineOptions } from '../protocol.ts';
import type { FirstChunk, Sequence } from '../sequence.ts';
import type { EngineStats } from '../stats.ts';
import type { KvRows } from './kv-cache.ts';
import { Prefixes, type Restored } from './prefixes.ts';

/** A prompt that waits for a slot. */
export type WaitingPrompt = { readonly prompt: Prompt; firstChunk: FirstChunk };

export type KvManagerOptions = Pick<EngineOptions, 'prefillChunkTokens' | 'prefixCacheBytes'>;

/**
 * The scheduler decides who is next, the KV manager what is computed for them.
 * @example
 * const { batch, broken } = await kv.restorePrefixes(kv.firstChunks(sequences));
 * using out = await decoder.forward(batch);
 * await out.commit();
 * await kv.storePrefixes(batch, out.keysAndValues, broken);
 */
export class KvManager {
  readonly #decoder: Decoder;
  readonly #chunkTokens: number;
  readonly #prefixes: Prefixes;
  /** By the image they are about. */
  readonly #waiting = new Map<string, Set<WaitingPrompt>>();

  constructor(
    decoder: Decoder,
    { prefillChunkTokens, prefixCacheBytes }: KvManagerOptions,
    dropped?: DroppedImages,
  ) {
    this.#decoder = decoder;
    this.#chunkTokens = prefillChunkTokens;
    this.#prefixes = new Prefixes(decoder, prefixCacheBytes, dropped);
  }

  get memory(): EngineStats['memory'] {
    const { isCausal, usage } = this.#decoder;
    return isCausal ? { ...usage, prefixes: this.#prefixes.stats } : usage;
  }

  /** Sets the prompt's first chunk, now and whenever more or less of it is cached, until `untrack`. */
  track(waiting: WaitingPrompt): void {
    const { imageKey } = waiting.prompt;
    const about = this.#waiting.get(imageKey) ?? new Set();
    this.#waiting.set(imageKey, about.add(waiting));
    waiting.firstChunk = this.#firstChunk(waiting.prompt);
  }

  /** The prompt no longer waits: its first chunk stays what it is. */
  untrack(waiting: WaitingPrompt): void {
    const { imageKey } = waiting.prompt;
    const about = this.#waiting.get(imageKey);
    about?.delete(waiting);
    if (about?.size === 0) this.#waiting.delete(imageKey);
  }

  /** Plans the first chunks of sequences that hold consecutive slots. */
  firstChunks(sequences: readonly Sequence[]): PrefillBatch {
    const rows = sequences.map((sequence) => {
      const { prompt, firstChunk } = sequence.group;
      sequence.unreadIds = this.#positionsOf(prompt) - firstChunk.end;
      return { prompt, positions: { start: 0, end: firstChunk.end } };
    });
    return { kind: 'prefill', firstSlot: sequences[0]?.slot ?? 0, rows };
  }

  /** Plans the next chunk of a long prompt, behind the positions that its slot holds. */
  nextChunk(sequence: Sequence): PrefillBatch {
    const start = sequence.cachedPositions;
    const count = Math.min(sequence.unreadIds, this.#chunkTokens);
    sequence.unreadIds -= count;
    sequence.laterChunks += 1;
    const row = { prompt: sequence.group.prompt, positions: { start, end: start + count } };
    return { kind: 'prefill', firstSlot: sequence.slot, rows: [row] };
  }

  /**
   * Writes the cached positions of the prompts into their slots. An image that several of them share is computed once.
   */
  async restorePrefixes(batch: ForwardBatch): Promise<Restored> {
    try {
      return await this.#prefixes.restore(batch);
    } finally {
      this.#refresh();
    }
  }

  /** What the slots of a pass's sequences hold, once its output is committed. */
  recordCommit({ kind }: ForwardBatch, sequences: readonly Sequence[]): void {
    for (const sequence of sequences) {
      const { prompt } = sequence.group;
      sequence.cachedPositions =
        kind === 'decode'
          ? sequence.cachedPositions + 1
          : this.#decoder.cachedPositions(prompt.ids.length - sequence.unreadIds);
    }
  }

  /**
   * Caches the positions of prompts that a pass has computed.
   * @param computed keys and values of the batch's rows; the caller still owns them
   * @param failed rows of which nothing is cached: their numbers may be none
   * @returns why those rows could not be cached that could not
   */
  async storePrefixes(
    batch: ForwardBatch,
    computed: KvRows,
    failed?: ReadonlySet<number>,
  ): Promise<ReadonlyMap<number, unknown>> {
    try {
      return await this.#prefixes.store(batch, computed, failed);
    } finally {
      this.#refresh();
    }
  }

  /** Drops what is cached of an image. */
  drop(image: string): void {
    this.#prefixes.drop(image);
    this.#refresh();
  }

  /** Frees the memory of slots that a burst needed; only while no slot is held. */
  reset(): void {
    this.#decoder.reset();
  }

  /** Frees the prefix cache; to be called before the decoder is released. */
  release(): void {
    this.#prefixes.clear();
  }

  #positionsOf({ ids }: Prompt): number {
    return this.#decoder.imagePositions + ids.length;
  }

  #firstChunk(prompt: Prompt): FirstChunk {
    const { isCausal, imagePositions } = this.#decoder;
    const whole = this.#positionsOf(prompt);
    if (!isCausal) return { end: whole, computed: whole, computedText: prompt.ids.length };
    const cached = this.#prefixes.peek(prompt);
    const text = Math.min(prompt.ids.length, cached.textPositions + this.#chunkTokens);
    const computedText = text - cached.textPositions;
    const computed = (cached.image ? 0 : imagePositions) + computedText;
    return { end: imagePositions + text, computed, computedText };
  }

  /** Updates the first chunks of waiting prompts of which more or less is cached now. */
  #refresh(): void {
    for (const imageKey of this.#prefixes.drainChanges()) {
      for (const waiting of this.#waiting.get(imageKey) ?? []) {
        waiting.firstChunk = this.#firstChunk(waiting.prompt);
      }
    }
  }
}
