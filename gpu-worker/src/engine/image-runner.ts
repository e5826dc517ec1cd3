/** Runs the image encoder and the Q-Former of a bundle. */
import { type InferenceSession, Tensor } from 'onnxruntime-node';
import type { EngineOptions } from './messages.ts';
import { openGraph } from './session.ts';

export class ImageRunner {
  readonly #size: number;
  readonly #vision: InferenceSession;
  readonly #qformer: InferenceSession;

  private constructor(size: number, vision: InferenceSession, qformer: InferenceSession) {
    this.#size = size;
    this.#vision = vision;
    this.#qformer = qformer;
  }

  /** @throws Error that names the execution provider when it cannot be loaded */
  static async load(options: EngineOptions): Promise<ImageRunner> {
    return new ImageRunner(
      options.manifest.image.size,
      await openGraph(options, 'vision', 'quiet'),
      await openGraph(options, 'qformer', 'quiet'),
    );
  }

  /**
   * Image features of one picture, float32 [1, image tokens, vision width].
   * @param pixels float32 [3, size, size]
   */
  async encode(pixels: Float32Array): Promise<Tensor> {
    const result = await this.#vision.run({
      pixel_values: new Tensor('float32', pixels, [1, 3, this.#size, this.#size]),
    });
    return result.image_features as Tensor;
  }

  /** Query embeddings of one picture's image features, float32 [queries, hidden]. */
  async query(imageFeatures: Tensor): Promise<Float32Array> {
    const result = await this.#qformer.run({ image_features: imageFeatures });
    return result.query_embeddings?.data as Float32Array;
  }

  async release(): Promise<void> {
    for (const session of [this.#vision, this.#qformer]) await session.release();
  }
}
