/** Runs the image encoder and the Q-Former of a bundle. */
import type { BundleManifest } from '@blip2/shared/bundle-manifest';
import { Tensor } from 'onnxruntime-node';
import { type GraphSession, openGraph } from '../../runtime/session.ts';
import type { SessionOptions } from '../../runtime/session-options.ts';

type Graphs = BundleManifest['graphs'];

/** The vision transformer. */
export class VisionRunner {
  readonly #size: number;
  readonly #session: GraphSession<Graphs['vision']>;

  private constructor(size: number, session: GraphSession<Graphs['vision']>) {
    this.#size = size;
    this.#session = session;
  }

  /** @throws Error that names the execution provider when it cannot be loaded */
  static async load(
    bundle: string,
    { image, graphs }: BundleManifest,
    options: SessionOptions,
  ): Promise<VisionRunner> {
    return new VisionRunner(image.size, await openGraph(bundle, graphs.vision, options));
  }

  /**
   * Image features of one image, float32 [1, image tokens, vision width].
   * @param pixels float32 [3, size, size]
   */
  async encode(pixels: Float32Array): Promise<Tensor> {
    const result = await this.#session.run({
      pixels: new Tensor('float32', pixels, [1, 3, this.#size, this.#size]),
    });
    return result.image_features;
  }

  async release(): Promise<void> {
    await this.#session.release();
  }
}

/** The Q-Former of a generative bundle. */
export class QFormerRunner {
  readonly #session: GraphSession<Graphs['qformer']>;

  private constructor(session: GraphSession<Graphs['qformer']>) {
    this.#session = session;
  }

  /** @throws Error that names the execution provider when it cannot be loaded */
  static async load(
    bundle: string,
    { graphs }: BundleManifest,
    options: SessionOptions,
  ): Promise<QFormerRunner> {
    return new QFormerRunner(await openGraph(bundle, graphs.qformer, options));
  }

  /** Query embeddings of one image's image features, float32 [queries, hidden]. */
  async query(imageFeatures: Tensor): Promise<Float32Array> {
    const result = await this.#session.run({ image_features: imageFeatures });
    return result.query_embeddings.data as Float32Array;
  }

  async release(): Promise<void> {
    await this.#session.release();
  }
}
