/**
 * Decides which positions of prompts a pass computes, chunk by chunk, and which come from the prefix cache: a question
 * about an image is not computed twice. A prompt gets the same numbers either way.
 */
import { even } from '../../runtime/tensors.ts';
import { isFiniteRow } from '../finite.ts';
import type { Decoder, ForwardBatch, PrefillBatch, PrefillRow, Prompt } from '../models/decoder.ts';
import type { EngineOptions } from '../protocol.ts';
import type { FirstChunk, Sequence } from '../sequence.ts';
import type { EngineStats } from '../stats.ts';
import type { KvRows } from './kv-cache.ts';
import { PrefixCache, type Segment } from './prefix-cache.ts';

/** A prompt that waits for a slot. */
export type WaitingPrompt = { readonly prompt: Prompt; firstChunk: FirstChunk };

/**
 * A batch without the positions that need not be computed any more, and the rows whose image positions came to no finite
 * numbers: what is computed behind those means nothing.
 */
export type Restored = { batch: ForwardBatch; broken: ReadonlySet<number> };

/** Keys and values of images by their keys, and those of them that came to no finite numbers. */
type ComputedImages = { computed: Map<string, KvRows>; brokenImages: ReadonlySet<string> };

type CachedText = readonly Segment<KvRows>[];

const NONE: ReadonlySet<number> = new Set();

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
  readonly #prefixes: PrefixCache<KvRows>;
  /** By the image they are about. */
  readonly #waiting = new Map<string, Set<WaitingPrompt>>();

  constructor(decoder: Decoder, { prefillChunkTokens, prefixCacheBytes }: KvManagerOptions) {
    this.#decoder = decoder;
    this.#chunkTokens = prefillChunkTokens;
    this.#prefixes = new PrefixCache(decoder.isCausal ? prefixCacheBytes : 0);
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
    const row = { prompt: sequence.group.prompt, positions: { start, end: start + count } };
    return { kind: 'prefill', firstSlot: sequence.slot, rows: [row] };
  }

  /**
   * Writes the cached positions of the prompts into their slots. An image that several of them share is computed once.
   */
  async restorePrefixes(batch: ForwardBatch): Promise<Restored> {
    const whole = { batch, broken: NONE };
    if (batch.kind === 'decode' || !this.#decoder.isCausal || !startsPrompts(batch)) return whole;
    const { firstSlot, rows } = batch;
    const byImage = new Map(rows.map(({ prompt }) => [prompt.imageKey, prompt]));
    const cached = this.#lookUp([...byImage.keys()]);
    if (cached.size === 0 && byImage.size === rows.length) return whole;
    const missing = [...byImage.values()].filter(({ imageKey }) => !cached.has(imageKey));
    const { computed, brokenImages } = await this.#computeImages(firstSlot, missing);
    const behind: PrefillRow[] = [];
    const broken = new Set<number>();
    try {
      const texts = rows.map((row) => this.#cachedText(row));
      const latest = this.#latestStart(rows, texts);
      for (const [i, { prompt, positions }] of rows.entries()) {
        const { imageKey } = prompt;
        if (brokenImages.has(imageKey)) broken.add(i);
        const image = (cached.get(imageKey) ?? computed.get(imageKey)) as KvRows;
        const segments = [{ values: image, length: this.#decoder.imagePositions }];
        segments.push(...(texts[i] as CachedText));
        const start = await this.#restore(firstSlot + i, segments, latest);
        behind.push({ prompt, positions: { start, end: positions.end } });
      }
    } finally {
      // Not before, since room for one may be made by evicting another.
      for (const [imageKey, values] of computed) {
        if (brokenImages.has(imageKey)) values[Symbol.dispose]();
        else this.#prefixes.putImage(imageKey, values);
      }
      this.#refresh();
    }
    return { batch: { ...batch, rows: behind }, broken };
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
   */
  async storePrefixes(batch: ForwardBatch, computed: KvRows, failed = NONE): Promise<void> {
    if (batch.kind === 'decode' || !this.#decoder.isCausal) return;
    const { cache, imagePositions } = this.#decoder;
    try {
      for (const [row, { prompt, positions }] of batch.rows.entries()) {
        if (failed.has(row)) continue;
        if (positions.start === 0) {
          if (!this.#prefixes.fits(this.#bytesOf(computed, imagePositions))) return;
          const image = await cache.slice(computed, row, { start: 0, end: imagePositions });
          this.#prefixes.putImage(prompt.imageKey, image);
        }
        await this.#storeText(computed, row, { prompt, positions });
      }
    } finally {
      this.#refresh();
    }
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
    if (!isCausal) return { end: whole, computed: whole };
    const cached = this.#prefixes.peek(prompt.imageKey, withoutLast(prompt.ids));
    const text = Math.min(prompt.ids.length, cached.textPositions + this.#chunkTokens);
    const computed = (cached.image ? 0 : imagePositions) + text - cached.textPositions;
    return { end: imagePositions + text, computed };
  }

  /** Updates the first chunks of waiting prompts of which more or less is cached now. */
  #refresh(): void {
    for (const imageKey of this.#prefixes.drainChanges()) {
      for (const waiting of this.#waiting.get(imageKey) ?? []) {
        waiting.firstChunk = this.#firstChunk(waiting.prompt);
      }
    }
  }

  /** Keys and values of those of the images that are cached. */
  #lookUp(imageKeys: readonly string[]): Map<string, KvRows> {
    const found = new Map<string, KvRows>();
    for (const imageKey of imageKeys) {
      const cached = this.#prefixes.image(imageKey);
      if (cached !== undefined) found.set(imageKey, cached);
    }
    return found;
  }

  /** Computes the image positions of prompts alone; their slots hold nothing yet. */
  async #computeImages(firstSlot: number, prompts: readonly Prompt[]): Promise<ComputedImages> {
    const computed = new Map<string, KvRows>();
    const brokenImages = new Set<string>();
    if (prompts.length === 0) return { computed, brokenImages };
    const { cache, imagePositions } = this.#decoder;
    const positions = { start: 0, end: imagePositions };
    const rows = prompts.map((prompt) => ({ prompt, positions }));
    using out = await this.#decoder.forward({ kind: 'prefill', firstSlot, rows });
    using uncached = new DisposableStack();
    for (const [row, { imageKey }] of prompts.entries()) {
      const image = await cache.slice(out.keysAndValues, row, positions);
      computed.set(imageKey, uncached.use(image));
      if (!isFiniteRow(out.logits[row] as Float32Array)) brokenImages.add(imageKey);
    }
    uncached.move();
    return { computed, brokenImages };
  }

  /** Segments of a row's text that are cached. */
  #cachedText({ prompt, positions }: PrefillRow): CachedText {
    const ids = prompt.ids.slice(0, positions.end - this.#decoder.imagePositions);
    return this.#prefixes.text(prompt.imageKey, withoutLast(ids));
  }

  /**
   * All rows of a pass are padded to the longest. What is computed of a row begins early enough that its padding, and the one
   * position that makes their number even, fit its slot: a short text at the end of the context, beside a long one.
   */
  #latestStart(rows: readonly PrefillRow[], texts: readonly CachedText[]): number {
    const { cache, imagePositions } = this.#decoder;
    const lengths = rows.map(({ positions }, i) => {
      return positions.end - imagePositions - lengthOf(texts[i] as CachedText);
    });
    return cache.maxPositions - even(Math.max(...lengths));
  }

  /** Writes segments into a slot, up to before the position `latest`. @returns the positions that it holds then */
  async #restore(slot: number, segments: CachedText, latest: number): Promise<number> {
    const { cache } = this.#decoder;
    let start = 0;
    for (const segment of segments) {
      const length = Math.min(segment.length, latest - start);
      if (length === 0) break;
      cache.reserve({ slots: slot + 1, positions: start + length });
      await cache.put(segment.values, [{ row: 0, slot, start, length }]);
      start += length;
    }
    return start;
  }

  /** Caches the text positions of a row, unless they are cached already. */
  async #storeText(
    computed: KvRows,
    row: number,
    { prompt, positions }: PrefillRow,
  ): Promise<void> {
    const { cache, imagePositions } = this.#decoder;
    const ids = prompt.ids.slice(0, positions.end - imagePositions);
    const uncached = this.#prefixes.uncachedText(prompt.imageKey, ids);
    if (uncached === null || imagePositions + uncached < positions.start) return;
    const range = {
      start: imagePositions + uncached - positions.start,
      end: positions.end - positions.start,
    };
    const values = await cache.slice(computed, row, range);
    this.#prefixes.putText(prompt.imageKey, ids, values);
  }

  #bytesOf({ byteLength, layers }: KvRows, positions: number): number {
    const [rows = 1, computed = 1] = layers[0]?.dims ?? [];
    return (byteLength / rows / computed) * positions;
  }
}

/** Whether the rows begin their prompts, image positions first. */
const startsPrompts = ({ rows }: PrefillBatch) =>
  rows.every(({ positions }) => positions.start === 0);

/** A prompt's last id is always computed: its logits choose the first token. */
const withoutLast = (ids: readonly number[]) => ids.slice(0, -1);

const lengthOf = (text: CachedText) => text.reduce((sum, { length }) => sum + length, 0);
