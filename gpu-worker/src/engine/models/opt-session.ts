/** Runs language projection and OPT in one graph (builder/README.md): image positions first, then the text. */
import type { OptManifest } from '@blip2/shared/bundle-manifest';
import { Tensor } from 'onnxruntime-node';
import { type GraphSession, openGraph } from '../../runtime/session.ts';
import { even, int32Tensor, int64Tensor, paddedIds } from '../../runtime/tensors.ts';
import type { KvCache, KvRows } from '../kv/kv-cache.ts';
import type { EngineOptions } from '../protocol.ts';

/** Rows of one run: they hold consecutive slots of the cache, the first of them `firstSlot`. */
export type OptRun = {
  firstSlot: number;
  /** Text ids of each row that are new. */
  inputIds: readonly (readonly number[])[];
  /** Text positions of every row, padding on the right included. */
  textPositions: number;
  /** Positions each row has in the cache already. */
  past: readonly number[];
  /** In front of each row's text, float32 [image positions, hidden]; none where only the text continues. */
  queryEmbeddings?: readonly Float32Array[];
};

/** One session, of prompts and of decode steps alike. */
export class OptSession {
  readonly #manifest: OptManifest;
  readonly #session: GraphSession<OptManifest['graphs']['decoder']>;

  private constructor(
    manifest: OptManifest,
    session: GraphSession<OptManifest['graphs']['decoder']>,
  ) {
    this.#manifest = manifest;
    this.#session = session;
  }

  static async load(options: EngineOptions<OptManifest>): Promise<OptSession> {
    const { bundle, manifest } = options;
    const { decoder } = manifest.graphs;
    const session = await openGraph(bundle, decoder, options, ['new_keys_values']);
    return new OptSession(manifest, session);
  }

  /**
   * One run of the graph.
   * @returns keys and values of the rows' new positions, and logits, float32 [rows, vocab], of each row's last one
   */
  async run(run: OptRun, cache: KvCache): Promise<{ keysAndValues: KvRows; logits: Float32Array }> {
    const { decoder, num_query_tokens, pad_token_id, qformer_hidden: hidden } = this.#manifest;
    const rows = run.inputIds.length;
    const imagePositions = run.queryEmbeddings ? num_query_tokens : 0;
    const { textPositions } = run;
    const positions = imagePositions + textPositions;
    const lengths = run.inputIds.map((ids) => imagePositions + ids.length);
    const ends = run.past.map((past) => past + positions);
    cache.reserve({ slots: run.firstSlot + rows, positions: Math.max(...ends) });

    const positionIds = new BigInt64Array(rows * positions);
    for (let row = 0; row < rows; row++) {
      for (let j = 0; j < positions; j++) {
        const position = Math.min((run.past[row] as number) + j, decoder.max_positions - 1);
        positionIds[row * positions + j] = BigInt(position);
      }
    }
    const images = new Float32Array(rows * imagePositions * hidden);
    run.queryEmbeddings?.forEach((values, row) => {
      images.set(values, row * imagePositions * hidden);
    });
    // The last layer computes these positions alone: an even number, as everywhere.
    const lastOfRow = rows % 2 === 0 ? 1 : 2;
    const lastIndex = lengths.flatMap((length) => {
      return Array<number>(lastOfRow).fill(Math.max(0, length - 1));
    });
    const { keys, values } = await cache.feeds(run.firstSlot, rows);
    const result = await this.#session.run({
      query_embeddings: new Tensor('float32', images, [rows, imagePositions, hidden]),
      input_ids: paddedIds(run.inputIds, pad_token_id, textPositions),
      position_ids: new Tensor('int64', positionIds, [rows, positions]),
      last_positions: int64Tensor(lastIndex, [rows, lastOfRow]),
      seqlens_k: int32Tensor(ends.map((end) => end - 1)),
      total_sequence_length: int32Tensor([Math.max(...ends)]),
      past_keys: keys,
      past_values: values,
    });
    return {
      keysAndValues: cache.adopt(result.new_keys_values),
      logits: result.logits.data as Float32Array,
    };
  }

  async release(): Promise<void> {
    await this.#session.release();
  }
}

/** Text positions that hold the longest of `inputIds` and make an even number with the image positions before them. */
export function evenText(inputIds: readonly (readonly number[])[], imagePositions = 0): number {
  const longest = Math.max(...inputIds.map(({ length }) => length));
  return even(imagePositions + longest) - imagePositions;
}
