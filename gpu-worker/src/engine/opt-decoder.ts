/** Runs language projection and OPT in one graph (builder/README.md): image positions first, then the text. */
import type { GenerateManifest } from '@blip2/shared/bundle-manifest';
import { type InferenceSession, Tensor } from 'onnxruntime-node';
import type { Decoder, DecoderPrompt, DecoderRow } from './decoder.ts';
import { KvCache } from './kv-cache.ts';
import type { EngineOptions } from './messages.ts';
import type { DecoderMemory } from './observation.ts';
import { PrefixCache, type Stretch } from './prefix-cache.ts';
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
  readonly #cache: KvCache;
  /** Text positions that are read at a time. */
  readonly #piece: number;
  /** Keys and values of pictures' image positions: the next question prefills only its own text. */
  readonly #prefixes: PrefixCache;

  private constructor(options: EngineOptions, session: InferenceSession) {
    const { manifest, prefixCacheBytes } = options;
    const { layers, heads, head_dim, max_positions } = manifest.decoder;
    const shape = { layers, heads, headDim: head_dim, maxPositions: max_positions };
    this.#manifest = manifest;
    this.#piece = options.prefillPiece;
    this.#session = session;
    this.#cache = new KvCache(shape);
    this.#prefixes = new PrefixCache(prefixCacheBytes);
  }

  static async load(options: EngineOptions): Promise<OptDecoder> {
    return new OptDecoder(options, await openGraph(options, 'decoder', 'spins'));
  }

  get memory(): DecoderMemory {
    return { kvBytes: this.#cache.bytes, prefixes: this.#prefixes.memory };
  }

  positionsOf({ ids }: DecoderPrompt): number {
    return this.#manifest.num_query_tokens + ids.length;
  }

  seenOf({ ids }: DecoderPrompt): number[] {
    const { decoder, num_query_tokens } = this.#manifest;
    return [...Array<number>(num_query_tokens).fill(decoder.image_token_id), ...ids];
  }

  /** What is kept is not computed again; a question gets the same numbers either way. */
  async prefill(firstSlot: number, prompts: readonly DecoderPrompt[]): Promise<Float32Array[]> {
    const queries = this.#manifest.num_query_tokens;
    const pictures = new Map(prompts.map(({ key, image }) => [key, image]));
    const images = this.#keptOf(pictures);
    if (images.size === 0 && pictures.size === prompts.length) {
      return this.#prefillNew(firstSlot, prompts);
    }
    for (const key of images.keys()) pictures.delete(key);
    await this.#addImagePositions(images, firstSlot, pictures);
    this.#cache.reserve({
      slots: firstSlot + prompts.length,
      positions: queries + Math.max(...prompts.map(({ ids }) => ids.length)),
    });
    const known = prompts.map(({ key, ids }, row) => {
      const kept = [
        { values: images.get(key) as Float32Array, length: queries, positions: queries },
        ...this.#prefixes.text(key, withoutLast(ids)),
      ];
      return this.#restore(firstSlot + row, kept);
    });
    const inputIds = prompts.map(({ ids }, row) => ids.slice((known[row] as number) - queries));
    return this.#write({ firstSlot, inputIds, past: known, textPositions: evenText(inputIds) });
  }

  firstPiece(prompt: DecoderPrompt): { piece: DecoderPrompt; computed: number } {
    const { picture, textPositions } = this.#prefixes.peek(prompt.key, withoutLast(prompt.ids));
    const ids = prompt.ids.slice(0, textPositions + this.#piece);
    const image = picture ? 0 : this.#manifest.num_query_tokens;
    return { piece: { ...prompt, ids }, computed: image + ids.length - textPositions };
  }

  keep(slot: number, { key, ids }: DecoderPrompt): void {
    const queries = this.#manifest.num_query_tokens;
    this.#prefixes.keepText(key, ids, (start) =>
      this.#cache.read(slot, { start: queries + start, end: queries + ids.length }),
    );
  }

  async read(slot: number, ids: readonly number[], past: number): Promise<Float32Array> {
    const textPositions = evenText([ids]);
    const run = { firstSlot: slot, inputIds: [ids], past: [past], textPositions };
    const [logits] = await this.#write(run);
    return logits as Float32Array;
  }

  async step(rows: readonly (DecoderRow | null)[]): Promise<Float32Array[]> {
    const all = Array.from({ length: even(rows.length) }, (_, slot) => rows[slot] ?? null);
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
    await this.#session.release();
  }

  /** Image positions and text in one run: the weights are read once. */
  async #prefillNew(firstSlot: number, prompts: readonly DecoderPrompt[]): Promise<Float32Array[]> {
    const queries = this.#manifest.num_query_tokens;
    const inputIds = prompts.map(({ ids }) => ids);
    const textPositions = evenText(inputIds, queries);
    const images = prompts.map(({ image }) => image);
    const past = prompts.map(() => 0);
    const { fresh, logits } = await this.#run({ firstSlot, inputIds, past, images, textPositions });
    const of = { rows: prompts.length, positions: queries + textPositions };
    for (const [row, { key, ids }] of prompts.entries()) {
      const place = { slot: firstSlot + row, start: 0, length: queries + ids.length };
      this.#cache.write(fresh, { row, ...of }, place);
      this.#prefixes.keepPicture(key, this.#imagePart(fresh, { row, ...of }));
    }
    return rowsOf(logits, prompts.length);
  }

  /** Writes what is kept of a prompt into a slot. @returns how many positions that are */
  #restore(slot: number, kept: readonly Stretch[]): number {
    let start = 0;
    for (const { values, length, positions } of kept) {
      this.#cache.write(values, { row: 0, rows: 1, positions }, { slot, start, length });
      start += length;
    }
    return start;
  }

  /** Of the pictures, keys and values of those that are kept. */
  #keptOf(pictures: ReadonlyMap<string, Float32Array>): Map<string, Float32Array> {
    const found = new Map<string, Float32Array>();
    for (const key of pictures.keys()) {
      const kept = this.#prefixes.picture(key);
      if (kept !== undefined) found.set(key, kept);
    }
    return found;
  }

  /** Computes the pictures' image positions alone, float32 [layers, 2, heads, queries, headDim] each. */
  async #addImagePositions(
    found: Map<string, Float32Array>,
    firstSlot: number,
    pictures: ReadonlyMap<string, Float32Array>,
  ): Promise<void> {
    if (pictures.size === 0) return;
    const images = [...pictures.values()];
    const [inputIds, past] = [images.map(() => []), images.map(() => 0)];
    const queries = this.#manifest.num_query_tokens;
    const textPositions = evenText(inputIds, queries);
    const { fresh } = await this.#run({ firstSlot, inputIds, past, images, textPositions });
    const of = { rows: images.length, positions: queries + textPositions };
    for (const [row, key] of [...pictures.keys()].entries()) {
      const values = this.#imagePart(fresh, { row, ...of });
      found.set(key, values);
      this.#prefixes.keepPicture(key, values);
    }
  }

  /** A row's image positions of a run's result, float32 [layers, 2, heads, queries, headDim]. */
  #imagePart(
    fresh: Float32Array,
    { row, rows, positions }: { row: number; rows: number; positions: number },
  ): Float32Array {
    const { layers, heads, head_dim } = this.#manifest.decoder;
    const size = this.#manifest.num_query_tokens * head_dim;
    const values = new Float32Array(2 * layers * heads * size);
    for (let plane = 0; plane < 2 * layers; plane++) {
      for (let head = 0; head < heads; head++) {
        const from = ((plane * rows + row) * heads + head) * positions * head_dim;
        values.set(fresh.subarray(from, from + size), (plane * heads + head) * size);
      }
    }
    return values;
  }

  /** Computes the rows' new positions, writes their keys and values into the cache, and gives their logits. */
  async #write(run: Run): Promise<Float32Array[]> {
    const { fresh, logits } = await this.#run(run);
    const rows = run.inputIds.length;
    const positions = run.textPositions;
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
      ...cache.feeds('past', run.firstSlot, rows),
    });
    return {
      fresh: result.new_kv?.data as Float32Array,
      logits: result.logits?.data as Float32Array,
    };
  }
}

/** A prompt's last id is always read: its logits choose the first token. */
const withoutLast = (ids: readonly number[]) => ids.slice(0, -1);

/** Text positions that hold the longest of `inputIds` and make an even number with the image positions before them. */
function evenText(inputIds: readonly (readonly number[])[], imagePositions = 0): number {
  const longest = Math.max(...inputIds.map(({ length }) => length));
  return even(imagePositions + longest) - imagePositions;
}
