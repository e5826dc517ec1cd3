/** OPT with the keys and values of its rows: what is kept of a prompt's beginning is not read again. */
import type { OptManifest } from '@blip2/shared/bundle-manifest';
import { even } from '../../runtime/tensors.ts';
import { type KvAllocator, openKvAllocator } from '../kv/kv-allocator.ts';
import type { KvCache, KvRows, Range } from '../kv/kv-cache.ts';
import { PrefixCache, type Segment } from '../kv/prefix-cache.ts';
import type { EngineOptions } from '../protocol.ts';
import type { DecoderMemory } from '../stats.ts';
import type { Decoder, DecoderPrompt, DecoderRow, OnLogits } from './decoder.ts';
import { emitLogits } from './emit-logits.ts';
import { evenText, OptGraph, type Run } from './opt-session.ts';

export class OptDecoder implements Decoder {
  readonly #manifest: OptManifest;
  readonly #graph: OptGraph;
  readonly #allocator: KvAllocator;
  readonly #cache: KvCache;
  /** Text positions that are read at a time. */
  readonly #piece: number;
  readonly #prefixes: PrefixCache<KvRows>;

  private constructor(
    options: EngineOptions<OptManifest>,
    graph: OptGraph,
    allocator: KvAllocator,
  ) {
    this.#manifest = options.manifest;
    this.#piece = options.prefillPiece;
    this.#graph = graph;
    this.#allocator = allocator;
    this.#cache = allocator.create();
    this.#prefixes = new PrefixCache(options.prefixCacheBytes);
  }

  static async load(options: EngineOptions<OptManifest>): Promise<OptDecoder> {
    return new OptDecoder(options, await OptGraph.load(options), await openKvAllocator(options));
  }

  get memory(): DecoderMemory {
    const { deviceTensors } = this.#allocator;
    return { kvBytes: this.#cache.bytes, deviceTensors, prefixes: this.#prefixes.stats };
  }

  positionsOf({ ids }: DecoderPrompt): number {
    return this.#manifest.num_query_tokens + ids.length;
  }

  seenOf({ ids }: DecoderPrompt): number[] {
    const { decoder, num_query_tokens } = this.#manifest;
    return [...Array<number>(num_query_tokens).fill(decoder.image_token_id), ...ids];
  }

  /** What is kept is not computed again; a question gets the same numbers either way. */
  async prefill(
    firstSlot: number,
    prompts: readonly DecoderPrompt[],
    onLogits: OnLogits,
  ): Promise<void> {
    const images = new Map(prompts.map(({ key, image }) => [key, image]));
    const kept = this.#keptOf(images);
    if (kept.size === 0 && images.size === prompts.length) {
      await this.#prefillNew(firstSlot, prompts, onLogits);
      return;
    }
    for (const key of kept.keys()) images.delete(key);
    const computed = await this.#imagePositions(firstSlot, images);
    const known: number[] = [];
    try {
      for (const [row, { key, ids }] of prompts.entries()) {
        const image = (kept.get(key) ?? computed.get(key)) as KvRows;
        const text = this.#prefixes.text(key, withoutLast(ids));
        known.push(await this.#restore(firstSlot + row, image, text));
      }
    } finally {
      // Not before, since keeping one may be the end of another.
      for (const [key, rows] of computed) this.#prefixes.putImage(key, rows);
    }
    const pieces = prompts.map((prompt, row) => {
      const start = known[row] as number;
      return { prompt, ids: { start, end: prompt.ids.length } };
    });
    await this.#readText(firstSlot, pieces, onLogits);
  }

  firstPiece(prompt: DecoderPrompt): { piece: DecoderPrompt; computed: number } {
    const { image: isCached, textPositions } = this.#prefixes.peek(
      prompt.key,
      withoutLast(prompt.ids),
    );
    const ids = prompt.ids.slice(0, textPositions + this.#piece);
    const image = isCached ? 0 : this.#manifest.num_query_tokens;
    return { piece: { ...prompt, ids }, computed: image + ids.length - textPositions };
  }

  async read(slot: number, prompt: DecoderPrompt, ids: Range, onLogits: OnLogits): Promise<void> {
    await this.#readText(slot, [{ prompt, ids }], onLogits);
  }

  async step(rows: readonly (DecoderRow | null)[], onLogits: OnLogits): Promise<void> {
    const all = Array.from({ length: even(rows.length) }, (_, slot) => rows[slot] ?? null);
    this.#cache.trim(all.length);
    const run = {
      firstSlot: 0,
      inputIds: all.map((row) => (row === null ? [] : [row.token])),
      past: all.map((row) => row?.past ?? 0),
      textPositions: 1,
    };
    await this.#write(run, (logits) => onLogits(logits.slice(0, rows.length)));
  }

  copy(from: number, to: number, positions: Range): void {
    this.#cache.reserve({ slots: to + 1, positions: positions.end });
    this.#cache.copy(from, to, positions);
  }

  reset(): void {
    this.#cache.reset();
  }

  async release(): Promise<void> {
    this.#prefixes.clear();
    this.#cache.release();
    for (const part of [this.#graph, this.#allocator]) await part.release();
  }

  /** Image positions and text in one run: the weights are read once. */
  async #prefillNew(
    firstSlot: number,
    prompts: readonly DecoderPrompt[],
    onLogits: OnLogits,
  ): Promise<void> {
    const queries = this.#manifest.num_query_tokens;
    const inputIds = prompts.map(({ ids }) => ids);
    const textPositions = evenText(inputIds, queries);
    const images = prompts.map(({ image }) => image);
    const past = prompts.map(() => 0);
    const run = { firstSlot, inputIds, past, images, textPositions };
    const { logits, ...result } = await this.#graph.run(run, this.#cache);
    using fresh = result.fresh;
    emitLogits(onLogits, logits, prompts.length);
    const mappings = prompts.map(({ ids }, row) => {
      return { row, slot: firstSlot + row, start: 0, length: queries + ids.length };
    });
    await this.#cache.put(fresh, mappings);
    const size = fresh.byteLength / prompts.length / (queries + textPositions);
    if (this.#prefixes.fits(size * queries)) {
      for (const [row, { key, ids }] of prompts.entries()) {
        const image = await this.#cache.slice(fresh, row, { start: 0, end: queries });
        this.#prefixes.putImage(key, image);
        await this.#keepText(fresh, row, { key, ids, start: 0, offset: queries });
      }
    }
  }

  /** Writes what is kept of a prompt into a slot. @returns how many ids of its text that are */
  async #restore(slot: number, image: KvRows, text: readonly Segment<KvRows>[]): Promise<number> {
    const queries = this.#manifest.num_query_tokens;
    let start = 0;
    for (const { values, length } of [{ values: image, length: queries }, ...text]) {
      this.#cache.reserve({ slots: slot + 1, positions: start + length });
      await this.#cache.put(values, [{ row: 0, slot, start, length }]);
      start += length;
    }
    return start - queries;
  }

  /** Reads a piece of each prompt, behind what its slot holds of it. */
  async #readText(
    firstSlot: number,
    pieces: readonly { prompt: DecoderPrompt; ids: Range }[],
    onLogits: OnLogits,
  ): Promise<void> {
    const queries = this.#manifest.num_query_tokens;
    const inputIds = pieces.map(({ prompt, ids }) => prompt.ids.slice(ids.start, ids.end));
    const past = pieces.map(({ ids }) => queries + ids.start);
    const run = { firstSlot, inputIds, past, textPositions: evenText(inputIds) };
    await this.#write(run, onLogits, async (fresh) => {
      for (const [row, { prompt, ids }] of pieces.entries()) {
        const text = { key: prompt.key, ids: prompt.ids.slice(0, ids.end) };
        await this.#keepText(fresh, row, { ...text, start: ids.start, offset: 0 });
      }
    });
  }

  /** Keeps the text that a row of a run has read: its ids from `start` on, at the position `offset` of the row. */
  async #keepText(
    fresh: KvRows,
    row: number,
    { key, ids, start, offset }: Omit<DecoderPrompt, 'image'> & { start: number; offset: number },
  ): Promise<void> {
    const from = this.#prefixes.uncachedText(key, ids);
    if (from === null || from < start) return;
    const range = { start: offset + from - start, end: offset + ids.length - start };
    this.#prefixes.putText(key, ids, await this.#cache.slice(fresh, row, range));
  }

  /** Of the images, keys and values of those that are kept. */
  #keptOf(images: ReadonlyMap<string, Float32Array>): Map<string, KvRows> {
    const found = new Map<string, KvRows>();
    for (const key of images.keys()) {
      const kept = this.#prefixes.image(key);
      if (kept !== undefined) found.set(key, kept);
    }
    return found;
  }

  /** Computes the images' image positions alone. */
  async #imagePositions(
    firstSlot: number,
    byKey: ReadonlyMap<string, Float32Array>,
  ): Promise<Map<string, KvRows>> {
    const found = new Map<string, KvRows>();
    if (byKey.size === 0) return found;
    const images = [...byKey.values()];
    const [inputIds, past] = [images.map(() => []), images.map(() => 0)];
    const queries = this.#manifest.num_query_tokens;
    const textPositions = evenText(inputIds, queries);
    const result = await this.#graph.run(
      { firstSlot, inputIds, past, images, textPositions },
      this.#cache,
    );
    using fresh = result.fresh;
    using unsafe = new DisposableStack();
    for (const [row, key] of [...byKey.keys()].entries()) {
      found.set(key, unsafe.use(await this.#cache.slice(fresh, row, { start: 0, end: queries })));
    }
    unsafe.move();
    return found;
  }

  /** Computes the rows' new positions, tells their logits, and writes their keys and values into the cache. */
  async #write(
    run: Run,
    onLogits: OnLogits,
    andThen: (fresh: KvRows) => Promise<void> = async () => {},
  ): Promise<void> {
    const { logits, ...result } = await this.#graph.run(run, this.#cache);
    using fresh = result.fresh;
    emitLogits(onLogits, logits, run.inputIds.length);
    const mappings = run.inputIds.map(({ length }, row) => {
      return { row, slot: run.firstSlot + row, start: run.past[row] as number, length };
    });
    await this.#cache.put(fresh, mappings);
    await andThen(fresh);
  }
}

/** A prompt's last id is always read: its logits choose the first token. */
const withoutLast = (ids: readonly number[]) => ids.slice(0, -1);
