/** Runs the Q-Former of a generative bundle. */
import type { GenerativeManifest } from '@blip2/shared/bundle-manifest';
import type { Tensor } from 'onnxruntime-node';
import { type GraphSession, openGraph } from '../../runtime/session.ts';
import type { SessionOptions } from '../../runtime/session-options.ts';
import { int64Tensor } from '../../runtime/tensors.ts';

type QFormerGraph = GenerativeManifest['graphs']['qformer'];

/** From image features to the query embeddings that text is generated from. */
export class QFormer {
  readonly #session: GraphSession<QFormerGraph>;
  /** Whether it reads an instruction beside the image. */
  readonly readsInstruction: boolean;

  private constructor(session: GraphSession<QFormerGraph>, readsInstruction: boolean) {
    this.#session = session;
    this.readsInstruction = readsInstruction;
  }

  /** @throws Error that names the execution provider when it cannot be loaded */
  static async load(
    bundle: string,
    { graphs, instruction }: GenerativeManifest,
    options: SessionOptions,
  ): Promise<QFormer> {
    const session = await openGraph(bundle, graphs.qformer, options);
    return new QFormer(session, instruction !== undefined);
  }

  /**
   * Query embeddings of one image, float32 [queries, hidden].
   * @param instruction ids with [CLS] and [SEP], for a Q-Former that reads them. One a run, without padding: its embeddings
   *   are the same bits whoever else asks about the image.
   */
  async query(imageFeatures: Tensor, instruction?: readonly number[]): Promise<Float32Array> {
    const text =
      instruction === undefined
        ? {}
        : {
            input_ids: int64Tensor(instruction, [1, instruction.length]),
            lengths: int64Tensor([instruction.length]),
          };
    const result = await this.#session.run({ image_features: imageFeatures, ...text });
    return result.query_embeddings.data as Float32Array;
  }

  async release(): Promise<void> {
    await this.#session.release();
  }
}
