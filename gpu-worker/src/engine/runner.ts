/** Runs the three graphs of a bundle. It only computes: who runs when is the scheduler's, what for the engine's. */
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { KvCache } from './kv-cache.ts';
import type { EngineOptions } from './messages.ts';

/** Rows of one decoder run: they hold consecutive slots of the cache, the first of them `firstSlot`. */
export type DecoderRun = {
  firstSlot: number;
  /** Text ids of each row that are new; right-padded to the longest here. */
  inputIds: readonly (readonly number[])[];
  /** Positions each row has in the cache already. */
  past: readonly number[];
  /** Query embeddings in front of the text, float32 [queries, hidden] a row; none on a decode step. */
  images?: readonly Float32Array[];
};

export class Runner {
  readonly #options: EngineOptions;
  readonly #vision: InferenceSession;
  readonly #qformer: InferenceSession;
  readonly #decoder: InferenceSession;

  private constructor(options: EngineOptions, sessions: readonly InferenceSession[]) {
    this.#options = options;
    [this.#vision, this.#qformer, this.#decoder] = sessions as [
      InferenceSession,
      InferenceSession,
      InferenceSession,
    ];
  }

  /** @throws Error that names the execution provider when it cannot be loaded */
  static async load(options: EngineOptions): Promise<Runner> {
    const open = async (graph: string, extra: InferenceSession.SessionOptions) => {
      const session = { executionProviders: [options.executionProvider], ...extra };
      return InferenceSession.create(join(options.bundle, `${graph}.onnx`), {
        intraOpNumThreads: options.threads,
        ...session,
      });
    };
    // Sessions that spin in turn on the same cores slow each other down: only the decoder may.
    const quiet = { extra: { session: { intra_op: { allow_spinning: '0' } } } };
    try {
      return new Runner(options, [
        await open('vision', quiet),
        await open('qformer', quiet),
        await open('decoder', {}),
      ]);
    } catch (cause) {
      throw new Error(
        `The execution provider "${options.executionProvider}" could not load the model. ` +
          'Set BLIP2_EXECUTION_PROVIDER=cpu, which always works.',
        { cause },
      );
    }
  }

  /**
   * Image features of one picture.
   * @param pixels float32 [3, size, size]
   */
  async encode(pixels: Float32Array): Promise<Tensor> {
    const { size } = this.#options.manifest.image;
    const result = await this.#vision.run({
      pixel_values: new Tensor('float32', pixels, [1, 3, size, size]),
    });
    return result.image_features as Tensor;
  }

  /** Query embeddings of one picture's image features, float32 [queries, hidden]. */
  async query(imageFeatures: Tensor): Promise<Float32Array> {
    const result = await this.#qformer.run({ image_features: imageFeatures });
    return result.query_embeddings?.data as Float32Array;
  }

  /**
   * Prefill or decode step: computes the rows' new positions and writes their keys and values into the cache.
   * The cache must have room for the rows and their padding.
   * @returns each row's logits after its last position, float32 [vocab]
   */
  async decode(run: DecoderRun, cache: KvCache): Promise<Float32Array[]> {
    const { manifest } = this.#options;
    const { decoder, qformer_hidden: hidden } = manifest;
    const rows = run.inputIds.length;
    const imagePositions = run.images ? manifest.num_query_tokens : 0;
    const textPositions = Math.max(...run.inputIds.map((ids) => ids.length));
    const positions = imagePositions + textPositions;
    const lengths = run.inputIds.map((ids) => imagePositions + ids.length);
    const ends = run.past.map((past) => past + positions);

    const ids = new BigInt64Array(rows * textPositions).fill(BigInt(manifest.pad_token_id));
    const positionIds = new BigInt64Array(rows * positions);
    for (let row = 0; row < rows; row++) {
      run.inputIds[row]?.forEach((id, j) => {
        ids[row * textPositions + j] = BigInt(id);
      });
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
    const feeds: Record<string, Tensor> = {
      image_embeddings: new Tensor('float32', images, [rows, imagePositions, hidden]),
      input_ids: new Tensor('int64', ids, [rows, textPositions]),
      position_ids: new Tensor('int64', positionIds, [rows, positions]),
      last_index: new Tensor('int64', lastIndex, [rows]),
      seqlens_k: new Tensor(
        'int32',
        Int32Array.from(ends, (end) => end - 1),
        [rows],
      ),
      total_sequence_length: new Tensor('int32', Int32Array.of(Math.max(...ends)), [1]),
    };
    const dims = [rows, decoder.heads, cache.capacity, decoder.head_dim];
    for (let layer = 0; layer < decoder.layers; layer++) {
      for (const part of ['key', 'value'] as const) {
        const view = cache.view(layer, part, run.firstSlot, rows);
        feeds[`past_${part}.${layer}`] = new Tensor('float32', view, dims);
      }
    }
    const result = await this.#decoder.run(feeds);
    const fresh = result.new_kv?.data as Float32Array;
    for (let row = 0; row < rows; row++) {
      cache.write(
        fresh,
        { row, rows, positions },
        {
          slot: run.firstSlot + row,
          start: run.past[row] as number,
          length: lengths[row] as number,
        },
      );
    }
    const logits = result.logits?.data as Float32Array;
    return Array.from({ length: rows }, (_, row) =>
      logits.subarray(row * decoder.vocab, (row + 1) * decoder.vocab),
    );
  }

  async release(): Promise<void> {
    for (const session of [this.#vision, this.#qformer, this.#decoder]) await session.release();
  }
}
