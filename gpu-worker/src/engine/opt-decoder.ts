/** Runs language projection and OPT in one graph (builder/README.md): image positions first, then the text. */
import type { GenerateManifest } from '@blip2/shared/bundle-manifest';
import { type InferenceSession, Tensor } from 'onnxruntime-node';
import type { Decoder, DecoderPrompt, DecoderRow } from './decoder.ts';
import { KvCache } from './kv-cache.ts';
import type { EngineOptions } from './messages.ts';
import { openGraph } from './session.ts';
import { paddedIds, rowsOf } from './tensors.ts';

/** Rows of one run: they hold consecutive slots of the cache, the first of them `firstSlot`. */
type Run = {
  firstSlot: number;
  /** Text ids of each row that are new; right-padded to the longest here. */
  inputIds: readonly (readonly number[])[];
  /** Positions each row has in the cache already. */
  past: readonly number[];
  /** Query embeddings in front of the text; none on a step. */
  images?: readonly Float32Array[];
};

export class OptDecoder implements Decoder {
  readonly #manifest: GenerateManifest;
  readonly #session: InferenceSession;
  readonly #cache: KvCache;

  private constructor({ manifest, maxSlots }: EngineOptions, session: InferenceSession) {
    const { layers, heads, head_dim, max_positions } = manifest.decoder;
    const shape = { layers, heads, headDim: head_dim, maxPositions: max_positions };
    this.#manifest = manifest;
    this.#session = session;
    this.#cache = new KvCache(shape, maxSlots);
  }

  static async load(options: EngineOptions): Promise<OptDecoder> {
    return new OptDecoder(options, await openGraph(options, 'decoder', 'spins'));
  }

  positionsOf({ ids }: DecoderPrompt): number {
    return this.#manifest.num_query_tokens + ids.length;
  }

  seenOf({ ids }: DecoderPrompt): number[] {
    const { decoder, num_query_tokens } = this.#manifest;
    return [...Array<number>(num_query_tokens).fill(decoder.image_token_id), ...ids];
  }

  prefill(firstSlot: number, prompts: readonly DecoderPrompt[]): Promise<Float32Array[]> {
    return this.#run({
      firstSlot,
      inputIds: prompts.map(({ ids }) => ids),
      past: prompts.map(() => 0),
      images: prompts.map(({ image }) => image),
    });
  }

  step(rows: readonly DecoderRow[]): Promise<Float32Array[]> {
    return this.#run({
      firstSlot: 0,
      inputIds: rows.map(({ token }) => [token]),
      past: rows.map(({ past }) => past),
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

  /** Computes the rows' new positions and writes their keys and values into the cache. */
  async #run(run: Run): Promise<Float32Array[]> {
    const { decoder, num_query_tokens, pad_token_id, qformer_hidden: hidden } = this.#manifest;
    const rows = run.inputIds.length;
    const imagePositions = run.images ? num_query_tokens : 0;
    const textPositions = Math.max(...run.inputIds.map((ids) => ids.length));
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
    const lastIndex = BigInt64Array.from(lengths, (length) => BigInt(length - 1));
    const seqlens = Int32Array.from(ends, (end) => end - 1);
    const result = await this.#session.run({
      image_embeddings: new Tensor('float32', images, [rows, imagePositions, hidden]),
      input_ids: paddedIds(run.inputIds, pad_token_id),
      position_ids: new Tensor('int64', positionIds, [rows, positions]),
      last_index: new Tensor('int64', lastIndex, [rows]),
      seqlens_k: new Tensor('int32', seqlens, [rows]),
      total_sequence_length: new Tensor('int32', Int32Array.of(Math.max(...ends)), [1]),
      ...cache.feeds('past', run.firstSlot, rows),
    });
    const fresh = result.new_kv?.data as Float32Array;
    for (let row = 0; row < rows; row++) {
      const place = {
        slot: run.firstSlot + row,
        start: run.past[row] as number,
        length: lengths[row] as number,
      };
      cache.write(fresh, { row, rows, positions }, place);
    }
    return rowsOf(result.logits?.data as Float32Array, rows);
  }
}
