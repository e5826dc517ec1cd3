/** Restores the cached beginnings of prompts into slots before a pass, and caches what the pass has computed of them. */
import { even } from '../../runtime/tensors.ts';
import { DroppedImages, keyPrefixOf } from '../dropped-images.ts';
import { isFiniteRow } from '../finite.ts';
import type { Decoder, ForwardBatch, PrefillBatch, PrefillRow, Prompt } from '../models/decoder.ts';
import type { PrefixCacheStats } from '../stats.ts';
import type { KvRows } from './kv-cache.ts';
import { PrefixCache, type Segment } from './prefix-cache.ts';

/**
 * A batch without the positions that need not be computed any more, and the rows whose image positions came to no finite
 * numbers: what is computed behind those means nothing.
 */
export type Restored = { batch: ForwardBatch; broken: ReadonlySet<number> };

/** Keys and values of images by their keys, and those of them that came to no finite numbers. */
type ComputedImages = { computed: Map<string, KvRows>; brokenImages: ReadonlySet<string> };

type CachedText = readonly Segment<KvRows>[];

const NONE: ReadonlySet<number> = new Set();

/** What of a prompt need not be computed. */
export type CachedPositions = { image: boolean; textPositions: number };

/** The prefix cache of a decoder whose attention is causal; of another it caches nothing. */
export class Prefixes {
  readonly #decoder: Decoder;
  readonly #cache: PrefixCache<KvRows>;
  readonly #dropped: DroppedImages;

  /** @param budgetBytes 0 caches nothing */
  constructor(decoder: Decoder, budgetBytes: number, dropped = new DroppedImages()) {
    this.#decoder = decoder;
    this.#dropped = dropped;
    this.#cache = new PrefixCache(decoder.isCausal ? budgetBytes : 0);
  }

  get stats(): PrefixCacheStats {
    return this.#cache.stats;
  }

  /** How much of a prompt is cached: changes nothing. */
  peek({ imageKey, ids }: Prompt): CachedPositions {
    return this.#cache.peek(imageKey, withoutLast(ids));
  }

  /** Images of which more or less is cached than when this was last asked. */
  drainChanges(): Iterable<string> {
    return this.#cache.drainChanges();
  }

  clear(): void {
    this.#cache.clear();
  }

  /** Evicts what is cached of an image. */
  drop(image: string): void {
    this.#cache.drop(keyPrefixOf(image));
  }

  /**
   * Writes the cached positions of the prompts into their slots. An image that several of them share is computed once.
   */
  async restore(batch: ForwardBatch): Promise<Restored> {
    const whole = { batch, broken: NONE };
    if (batch.kind === 'decode' || !this.#decoder.isCausal || !startsPrompts(batch)) return whole;
    const { firstSlot, rows } = batch;
    const byImage = new Map(rows.map(({ prompt }) => [prompt.imageKey, prompt]));
    const cached = this.#lookUp([...byImage.values()]);
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
        const start = await this.#write(firstSlot + i, segments, latest);
        behind.push({ prompt, positions: { start, end: positions.end } });
      }
    } finally {
      // Not before, since room for one may be made by evicting another.
      for (const [imageKey, values] of computed) {
        const sharing = rows.flatMap(({ prompt }) =>
          prompt.imageKey === imageKey ? [prompt] : [],
        );
        const isDropped = this.#dropped.includesAll(sharing.map(({ origin }) => origin));
        const isBackground = sharing.every(({ priority }) => priority === 'background');
        const isCacheable = !brokenImages.has(imageKey) && !isDropped;
        if (!isCacheable) values[Symbol.dispose]();
        else this.#cache.putImage(imageKey, values, isBackground ? 'background' : 'interactive');
      }
    }
    return { batch: { ...batch, rows: behind }, broken };
  }

  /**
   * Caches the positions of prompts that a pass has computed.
   * @param computed keys and values of the batch's rows; the caller still owns them
   * @param failed rows of which nothing is cached: their numbers may be none
   * @returns why those rows could not be cached that could not
   */
  async store(
    batch: ForwardBatch,
    computed: KvRows,
    failed = NONE,
  ): Promise<ReadonlyMap<number, unknown>> {
    const failures = new Map<number, unknown>();
    if (batch.kind === 'decode' || !this.#decoder.isCausal) return failures;
    if (!this.#cache.fits(this.#bytesOf(computed, 1))) return failures;
    for (const [row, values] of batch.rows.entries()) {
      if (failed.has(row) || this.#dropped.includes(values.prompt.origin)) continue;
      try {
        await this.#storeRow(computed, row, values);
      } catch (thrown) {
        failures.set(row, thrown);
      }
    }
    return failures;
  }

  /** Keys and values of those of the images that are cached. */
  #lookUp(prompts: readonly Prompt[]): Map<string, KvRows> {
    const found = new Map<string, KvRows>();
    for (const { imageKey, priority } of prompts) {
      const cached = this.#cache.image(imageKey, priority);
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
    return this.#cache.text(prompt.imageKey, withoutLast(ids), prompt.priority);
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
  async #write(slot: number, segments: CachedText, latest: number): Promise<number> {
    const { cache } = this.#decoder;
    let end = 0;
    const parts: Segment<KvRows>[] = [];
    for (const segment of segments) {
      const length = Math.min(segment.length, latest - end);
      if (length === 0) break;
      parts.push({ ...segment, length });
      end += length;
    }
    cache.reserve({ slots: slot + 1, positions: end });
    await cache.putSegments(slot, parts);
    return end;
  }

  /** Caches a row's image and text positions, unless they are cached already. */
  async #storeRow(computed: KvRows, row: number, { prompt, positions }: PrefillRow): Promise<void> {
    const { cache, imagePositions } = this.#decoder;
    const { imageKey, priority } = prompt;
    if (positions.start === 0) {
      if (!this.#cache.fits(this.#bytesOf(computed, imagePositions))) return;
      const image = await cache.slice(computed, row, { start: 0, end: imagePositions });
      this.#cache.putImage(imageKey, image, priority);
    }
    const ids = prompt.ids.slice(0, positions.end - imagePositions);
    const uncached = this.#cache.uncachedText(imageKey, ids);
    if (uncached === null || imagePositions + uncached < positions.start) return;
    const range = {
      start: imagePositions + uncached - positions.start,
      end: positions.end - positions.start,
    };
    const values = await cache.slice(computed, row, range);
    const before = this.#cache.shortEnd(imageKey, ids, priority);
    if (before === null) return this.#cache.putText(imageKey, ids, values, priority);
    using _values = values;
    const own = { values, length: range.end - range.start };
    this.#cache.extendText(imageKey, ids, await cache.join([before, own]), priority);
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
