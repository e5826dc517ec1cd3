/** Runs language projection and OPT in one graph (builder/README.md): image positions first, then the text. */
import type { GenerateManifest } from '@blip2/shared/bundle-manifest';
import { type InferenceSession, Tensor } from 'onnxruntime-node';
import type { Decoder, DecoderPrompt, DecoderRow } from './decoder.ts';
import { type KvMemory, openKvMemory } from './kv-memory.ts';
import type { KvRows, KvStore } from './kv-store.ts';
import type { EngineOptions } from './messages.ts';
import type { DecoderMemory } from './observation.ts';
import { PrefixCache } from './prefix-cache.ts';
import { openGraph } from './session.ts';
import { even, paddedIds, rowsOf } from './tensors.ts';

/** Rows of one run: they hold consecutive slots of the cache, the first of them `firstSlot`. */
type Run = {
  firstSlot: number;
  /** Text ids of each row that are new. */
  inputIds: readonly (readonly number[])[];
  /** Text positions of every row, padding on the right included. */
  textPositions: number;
  /** Positions each row has in the cache already. */
  past: readonly number[];
  /** Query embeddings in front of the text; none on a step. */
  images?: readonly Float32Array[];
};

export class OptDecoder implements Decoder {
  readonly #manifest: GenerateManifest;
  readonly #session: InferenceSession;
  readonly #memory: KvMemory;
  readonly #cache: KvStore;
  /** Text positions that are read at a time. */
  readonly #piece: number;
  readonly #prefixes: PrefixCache<KvRows>;

  private constructor(options: EngineOptions, session: InferenceSession, memory: KvMemory) {
    this.#manifest = options.manifest;
    this.#piece = options.prefillPiece;
    this.#session = session;
    this.#memory = memory;
    this.#cache = memory.store();
    this.#prefixes = new PrefixCache(options.prefixCacheBytes);
  }

  static async load(options: EngineOptions): Promise<OptDecoder> {
    const session = await openGraph(options, 'decoder', 'spins', ['new_kv']);
    return new OptDecoder(options, session, await openKvMemory(options));
  }

  get memory(): DecoderMemory {
    const { bytes, lookups } = this.#prefixes;
    const { deviceTensors } = this.#memory;
    return { kvBytes: this.#cache.bytes, deviceTensors, prefixes: { ...lookups, bytes } };
  }

  positionsOf({ ids }: DecoderPrompt): number {
    return this.#manifest.num_query_tokens + ids.length;
  }

  seenOf({ ids }: DecoderPrompt): number[] {
    const { decoder, num_query_tokens } = this.#manifest;
    return [...Array<number>(num_query_tokens).fill(decoder.image_token_id), ...ids];
  }

  /** Image positions that are kept are not computed again; a question gets the same numbers either way. */
  async prefill(firstSlot: number, prompts: readonly DecoderPrompt[]): Promise<Float32Array[]> {
    const queries = this.#manifest.num_query_tokens;
    const pictures = new Map(prompts.map(({ key, image }) => [key, image]));
    const kept = this.#keptOf(pictures);
    if (kept.size === 0 && pictures.size === prompts.length) {
      return this.#prefillNew(firstSlot, prompts);
    }
    for (const key of kept.keys()) pictures.delete(key);
    const computed = await this.#imagePositions(firstSlot, pictures);
    try {
      this.#cache.reserve({
        slots: firstSlot + prompts.length,
        positions: queries + Math.max(...prompts.map(({ ids }) => ids.length)),
      });
      for (const [row, { key }] of prompts.entries()) {
        const place = { row: 0, slot: firstSlot + row, start: 0, length: queries };
        await this.#cache.keep((kept.get(key) ?? computed.get(key)) as KvRows, [place]);
      }
    } finally {
      // Not before, since keeping one may be the end of another.
      for (const [key, rows] of computed) this.#prefixes.keep(key, rows);
    }
    const past = prompts.map(() => queries);
    const inputIds = prompts.map(({ ids }) => ids);
    return this.#write({ firstSlot, inputIds, past, textPositions: evenText(inputIds) });
  }

  firstPiece(prompt: DecoderPrompt): DecoderPrompt {
    return { ...prompt, ids: prompt.ids.slice(0, this.#piece) };
  }

  async read(slot: number, ids: readonly number[], past: number): Promise<Float32Array> {
    const textPositions = evenText([ids]);
    const run = { firstSlot: slot, inputIds: [ids], past: [past], textPositions };
    const [logits] = await this.#write(run);
    return logits as Float32Array;
  }

  async step(rows: readonly (DecoderRow | null)[]): Promise<Float32Array[]> {
    const all = Array.from({ length: even(rows.length) }, (_, slot) => rows[slot] ?? null);
    this.#cache.trim(all.length);
    const logits = await this.#write({
      firstSlot: 0,
      inputIds: all.map((row) => (row === null ? [] : [row.token])),
      past: all.map((row) => row?.past ?? 0),
      textPositions: 1,
    });
    return logits.slice(0, rows.length);
  }

  copy(from: number, to: number, positions: { start: number; end: number }): void {
    this.#cache.reserve({ slots: to + 1, positions: positions.end });
    this.#cache.copy(from, to, positions);
  }

  reset(): void {
    this.#cache.reset();
  }

  async release(): Promise<void> {
    this.#prefixes.clear();
    this.#cache.release();
    for (const part of [this.#session, this.#memory]) await part.release();
  }

  /** Image positions and text in one run: the weights are read once. */
  async #prefillNew(firstSlot: number, prompts: readonly DecoderPrompt[]): Promise<Float32Array[]> {
    const queries = this.#manifest.num_query_tokens;
    const inputIds = prompts.map(({ ids }) => ids);
    const textPositions = evenText(inputIds, queries);
    const images = prompts.map(({ image }) => image);
    const past = prompts.map(() => 0);
    const run = { firstSlot, inputIds, past, images, textPositions };
    const { logits, ...result } = await this.#run(run);
    using fresh = result.fresh;
    const places = prompts.map(({ ids }, row) => {
      return { row, slot: firstSlot + row, start: 0, length: queries + ids.length };
    });
    await this.#cache.keep(fresh, places);
    const size = fresh.byteLength / prompts.length / (queries + textPositions);
    if (this.#prefixes.takes(size * queries)) {
      for (const [row, { key }] of prompts.entries()) {
        this.#prefixes.keep(key, await this.#cache.part(fresh, row, queries));
      }
    }
    return rowsOf(logits, prompts.length);
  }

  /** Of the pictures, keys and values of those that are kept. */
  #keptOf(pictures: ReadonlyMap<string, Float32Array>): Map<string, KvRows> {
    const found = new Map<string, KvRows>();
    for (const key of pictures.keys()) {
      const kept = this.#prefixes.get(key);
      if (kept !== undefined) found.set(key, kept);
    }
    return found;
  }

  /** Computes the pictures' image positions alone. */
  async #imagePositions(
    firstSlot: number,
    pictures: ReadonlyMap<string, Float32Array>,
  ): Promise<Map<string, KvRows>> {
    const found = new Map<string, KvRows>();
    if (pictures.size === 0) return found;
    const images = [...pictures.values()];
    const [inputIds, past] = [images.map(() => []), images.map(() => 0)];
    const queries = this.#manifest.num_query_tokens;
    const textPositions = evenText(inputIds, queries);
    const result = await this.#run({ firstSlot, inputIds, past, images, textPositions });
    using fresh = result.fresh;
    using unsafe = new DisposableStack();
    for (const [row, key] of [...pictures.keys()].entries()) {
      found.set(key, unsafe.use(await this.#cache.part(fresh, row, queries)));
    }
    unsafe.move();
    return found;
  }

  /** Computes the rows' new positions, writes their keys and values into the cache, and gives their logits. */
  async #write(run: Run): Promise<Float32Array[]> {
    const { logits, ...result } = await this.#run(run);
    using fresh = result.fresh;
    const places = run.inputIds.map(({ length }, row) => {
      return { row, slot: run.firstSlot + row, start: run.past[row] as number, length };
    });
    await this.#cache.keep(fresh, places);
    return rowsOf(logits, run.inputIds.length);
  }

  /** Keys and values of the rows' new positions, and logits. */
  async #run(run: Run): Promise<{ fresh: KvRows; logits: Float32Array }> {
    const { decoder, num_query_tokens, pad_token_id, qformer_hidden: hidden } = this.#manifest;
    const rows = run.inputIds.length;
    const imagePositions = run.images ? num_query_tokens : 0;
    const { textPositions } = run;
    const positions = imagePositions + textPositions;
    const lengths = run.inputIds.map((ids) => imagePositions + ids.length);
    const ends = run.past.map((past) => past + positions);
    const cache = this.#cache;
    cache.reserve({ slots: run.firstSlot + rows, positions: Math.max(...ends) });

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
      input_ids: paddedIds(run.inputIds, pad_token_id, textPositions),
      position_ids: new Tensor('int64', positionIds, [rows, positions]),
      last_index: new Tensor('int64', lastIndex, [rows]),
      seqlens_k: new Tensor('int32', seqlens, [rows]),
      total_sequence_length: new Tensor('int32', Int32Array.of(Math.max(...ends)), [1]),
      ...(await cache.feeds('past', run.firstSlot, rows)),
    });
    return {
      fresh: cache.rows(result.new_kv as Tensor),
      logits: result.logits?.data as Float32Array,
    };
  }
}

/** Text positions that hold the longest of `inputIds` and make an even number with the image positions before them. */
function evenText(inputIds: readonly (readonly number[])[], imagePositions = 0): number {
  const longest = Math.max(...inputIds.map(({ length }) => length));
  return even(imagePositions + longest) - imagePositions;
}
