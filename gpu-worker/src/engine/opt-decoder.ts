/** Runs language projection and OPT in one graph (builder/README.md): image positions first, then the text. */
import type { GenerateManifest } from '@blip2/shared/bundle-manifest';
import { type InferenceSession, Tensor } from 'onnxruntime-node';
import type { Decoder, DecoderPrompt, DecoderRow } from './decoder.ts';
import { KvCache } from './kv-cache.ts';
import type { EngineOptions } from './messages.ts';
import type { DecoderMemory } from './observation.ts';
import { PrefixCache } from './prefix-cache.ts';
import { openGraph } from './session.ts';
import { paddedIds, rowsOf } from './tensors.ts';

/** Rows of one run: they hold consecutive slots of the cache, the first of them `firstSlot`. */
type Run = {
  firstSlot: number;
  /** Text ids of each row that are new; right-padded to the longest here. */
  inputIds: readonly (readonly number[])[];
  /** Positions each row has in the cache already. */
  past: readonly number[];
  /** Text positions to pad to, if more than the longest row has. */
  padTo?: number;
  /** Query embeddings in front of the text; none on a step. */
  images?: readonly Float32Array[];
};

/** A single position takes other kernels than several: a prompt of one token would not get alone what it gets in a batch. */
const LEAST_PREFILL = 2;

export class OptDecoder implements Decoder {
  readonly #manifest: GenerateManifest;
  readonly #session: InferenceSession;
  readonly #cache: KvCache;
  /** Text positions that are read at a time. */
  readonly #piece: number;
  readonly #prefixes: PrefixCache;

  private constructor(options: EngineOptions, session: InferenceSession) {
    const { manifest, maxSlots, prefixCacheBytes } = options;
    const { layers, heads, head_dim, max_positions } = manifest.decoder;
    const shape = { layers, heads, headDim: head_dim, maxPositions: max_positions };
    this.#manifest = manifest;
    this.#piece = options.prefillPiece;
    this.#session = session;
    this.#cache = new KvCache(shape, maxSlots);
    this.#prefixes = new PrefixCache(prefixCacheBytes);
  }

  static async load(options: EngineOptions): Promise<OptDecoder> {
    return new OptDecoder(options, await openGraph(options, 'decoder', 'spins'));
  }

  get memory(): DecoderMemory {
    const { bytes, lookups } = this.#prefixes;
    return { kvBytes: this.#cache.bytes, prefixes: { ...lookups, bytes } };
  }

  positionsOf({ ids }: DecoderPrompt): number {
    return this.#manifest.num_query_tokens + ids.length;
  }

  seenOf({ ids }: DecoderPrompt): number[] {
    const { decoder, num_query_tokens } = this.#manifest;
    return [...Array<number>(num_query_tokens).fill(decoder.image_token_id), ...ids];
  }

  /**
   * Image positions in a run of their own, text after them: a first question and a later one, whose image positions
   * are kept, get the same numbers (in one run with the text they differ in the last digits).
   */
  async prefill(firstSlot: number, prompts: readonly DecoderPrompt[]): Promise<Float32Array[]> {
    const queries = this.#manifest.num_query_tokens;
    const images = await this.#imagePositions(firstSlot, prompts);
    this.#cache.reserve(queries + Math.max(...prompts.map(({ ids }) => ids.length)));
    for (const [row, { key }] of prompts.entries()) {
      const slot = firstSlot + row;
      const from = { row: 0, rows: 1, positions: queries };
      const place = { slot, start: 0, length: queries };
      this.#cache.write(images.get(key) as Float32Array, from, place);
    }
    const past = prompts.map(() => queries);
    const inputIds = prompts.map(({ ids }) => ids);
    return this.#write({ firstSlot, inputIds, past, padTo: LEAST_PREFILL });
  }

  firstPiece(prompt: DecoderPrompt): DecoderPrompt {
    return { ...prompt, ids: prompt.ids.slice(0, this.#piece) };
  }

  async read(slot: number, ids: readonly number[], past: number): Promise<Float32Array> {
    const run = { firstSlot: slot, inputIds: [ids], past: [past], padTo: LEAST_PREFILL };
    const [logits] = await this.#write(run);
    return logits as Float32Array;
  }

  step(rows: readonly (DecoderRow | null)[]): Promise<Float32Array[]> {
    return this.#write({
      firstSlot: 0,
      inputIds: rows.map((row) => (row === null ? [] : [row.token])),
      past: rows.map((row) => row?.past ?? 0),
      padTo: 1,
    });
  }

  copy(from: number, to: number, positions: { start: number; end: number }): void {
    this.#cache.copy(from, to, positions);
  }

  reset(): void {
    this.#cache.reset();
  }

  async release(): Promise<void> {
    await this.#session.release();
  }

  /** Keys and values of the prompts' image positions, float32 [layers, 2, heads, queries, headDim], by picture. */
  async #imagePositions(
    firstSlot: number,
    prompts: readonly DecoderPrompt[],
  ): Promise<Map<string, Float32Array>> {
    const found = new Map<string, Float32Array>();
    const missing = new Map<string, Float32Array>();
    for (const { key, image } of prompts) {
      if (found.has(key) || missing.has(key)) continue;
      const kept = this.#prefixes.get(key);
      if (kept === undefined) missing.set(key, image);
      else found.set(key, kept);
    }
    if (missing.size === 0) return found;
    const images = [...missing.values()];
    const [inputIds, past] = [images.map(() => []), images.map(() => 0)];
    const { fresh } = await this.#run({ firstSlot, inputIds, past, images });
    const rows = images.length;
    for (const [row, key] of [...missing.keys()].entries()) {
      const values = rowOfKv(fresh, row, rows, 2 * this.#manifest.decoder.layers);
      found.set(key, values);
      this.#prefixes.keep(key, values);
    }
    return found;
  }

  /** Computes the rows' new positions, writes their keys and values into the cache, and gives their logits. */
  async #write(run: Run): Promise<Float32Array[]> {
    const { fresh, logits } = await this.#run(run);
    const rows = run.inputIds.length;
    const positions = positionsOf(run);
    for (const [row, { length }] of run.inputIds.entries()) {
      const place = { slot: run.firstSlot + row, start: run.past[row] as number, length };
      this.#cache.write(fresh, { row, rows, positions }, place);
    }
    return rowsOf(logits, rows);
  }

  /** Keys and values of the rows' new positions, float32 [layers, 2, rows, heads, positions, headDim]; and logits. */
  async #run(run: Run): Promise<{ fresh: Float32Array; logits: Float32Array }> {
    const { decoder, num_query_tokens, pad_token_id, qformer_hidden: hidden } = this.#manifest;
    const rows = run.inputIds.length;
    const imagePositions = run.images ? num_query_tokens : 0;
    const textPositions = positionsOf(run);
    const positions = imagePositions + textPositions;
    const lengths = run.inputIds.map((ids) => imagePositions + ids.length);
    const ends = run.past.map((past) => past + positions);
    const cache = this.#cache;
    cache.reserve(Math.max(...ends));

    const positionIds = new BigInt64Array(rows * positions);
    for (let row = 0; row < rows; row++) {
      for (let j = 0; j < positions; j++) {
        const position = Math.min((run.past[row] as number) + j, decoder.max_positions - 1);
        positionIds[row * positions + j] = BigInt(position);
      }
    }
    const images = new Float32Array(rows * imagePositions * hidden);
    run.images?.forEach((values, row) => {
      images.set(values, row * imagePositions * hidden);
    });
    const lastIndex = BigInt64Array.from(lengths, (length) => BigInt(Math.max(0, length - 1)));
    const seqlens = Int32Array.from(ends, (end) => end - 1);
    const result = await this.#session.run({
      image_embeddings: new Tensor('float32', images, [rows, imagePositions, hidden]),
      input_ids: paddedIds(run.inputIds, pad_token_id, run.padTo),
      position_ids: new Tensor('int64', positionIds, [rows, positions]),
      last_index: new Tensor('int64', lastIndex, [rows]),
      seqlens_k: new Tensor('int32', seqlens, [rows]),
      total_sequence_length: new Tensor('int32', Int32Array.of(Math.max(...ends)), [1]),
      ...cache.feeds('past', run.firstSlot, rows),
    });
    return {
      fresh: result.new_kv?.data as Float32Array,
      logits: result.logits?.data as Float32Array,
    };
  }
}

/** Text positions of a run, padding included. */
function positionsOf({ inputIds, padTo = 0 }: Run): number {
  return Math.max(padTo, ...inputIds.map(({ length }) => length));
}

/** One row of [planes, rows, …] as [planes, …]. */
function rowOfKv(fresh: Float32Array, row: number, rows: number, planes: number): Float32Array {
  const size = fresh.length / (planes * rows);
  const values = new Float32Array(planes * size);
  for (let plane = 0; plane < planes; plane++) {
    const from = (plane * rows + row) * size;
    values.set(fresh.subarray(from, from + size), plane * size);
  }
  return values;
}
