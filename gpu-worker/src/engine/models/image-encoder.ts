/** Runs the image encoder of a bundle. */
import type { BundleManifest } from '@blip2/shared/bundle-manifest';
import { Tensor } from 'onnxruntime-node';
import { type GraphSession, openGraph } from '../../runtime/session.ts';
import type { SessionOptions } from '../../runtime/session-options.ts';

type VisionGraph = BundleManifest['graphs']['vision'];

/** The vision transformer. */
export class ImageEncoder {
  readonly #size: number;
  readonly #session: GraphSession<VisionGraph>;

  private constructor(size: number, session: GraphSession<VisionGraph>) {
    this.#size = size;
    this.#session = session;
  }

  /** @throws Error that names the execution provider when it cannot be loaded */
  static async load(
    bundle: string,
    { image, graphs }: BundleManifest,
    options: SessionOptions,
  ): Promise<ImageEncoder> {
    return new ImageEncoder(image.size, await openGraph(bundle, graphs.vision, options));
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
