/** Runs the Q-Former of a generative bundle. */
import type { GenerativeManifest } from '@blip2/shared/bundle-manifest';
import type { Tensor } from 'onnxruntime-node';
import { type GraphSession, openGraph } from '../../runtime/session.ts';
import type { SessionOptions } from '../../runtime/session-options.ts';

type QFormerGraph = GenerativeManifest['graphs']['qformer'];

/** From image features to the query embeddings that text is generated from. */
export class QFormer {
  readonly #session: GraphSession<QFormerGraph>;

  private constructor(session: GraphSession<QFormerGraph>) {
    this.#session = session;
  }

  /** @throws Error that names the execution provider when it cannot be loaded */
  static async load(
    bundle: string,
    { graphs }: GenerativeManifest,
    options: SessionOptions,
  ): Promise<QFormer> {
    return new QFormer(await openGraph(bundle, graphs.qformer, options));
  }

  /** Query embeddings of one image, float32 [queries, hidden]. */
  async query(imageFeatures: Tensor): Promise<Float32Array> {
    const result = await this.#session.run({ image_features: imageFeatures });
    return result.query_embeddings.data as Float32Array;
  }

  async release(): Promise<void> {
    await this.#session.release();
  }
}
