/** Runs the image encoder and the Q-Former of a bundle. */
import { type InferenceSession, Tensor } from 'onnxruntime-node';
import { openGraph, type SessionPlace } from '../../runtime/session.ts';

export class VisionRunner {
  readonly #size: number;
  readonly #session: InferenceSession;

  private constructor(size: number, session: InferenceSession) {
    this.#size = size;
    this.#session = session;
  }

  /**
   * @param size side of an image, pixels
   * @throws Error that names the execution provider when it cannot be loaded
   */
  static async load(place: SessionPlace, size: number): Promise<VisionRunner> {
    return new VisionRunner(size, await openGraph(place, 'vision'));
  }

  /**
   * Image features of one image, float32 [1, image tokens, vision width].
   * @param pixels float32 [3, size, size]
   */
  async encode(pixels: Float32Array): Promise<Tensor> {
    const result = await this.#session.run({
      pixel_values: new Tensor('float32', pixels, [1, 3, this.#size, this.#size]),
    });
    return result.image_features as Tensor;
  }

  async release(): Promise<void> {
    await this.#session.release();
  }
}

export class QFormerRunner {
  readonly #session: InferenceSession;

  private constructor(session: InferenceSession) {
    this.#session = session;
  }

  /** @throws Error that names the execution provider when it cannot be loaded */
  static async load(place: SessionPlace): Promise<QFormerRunner> {
    return new QFormerRunner(await openGraph(place, 'qformer'));
  }

  /** Query embeddings of one image's image features, float32 [queries, hidden]. */
  async query(imageFeatures: Tensor): Promise<Float32Array> {
    const result = await this.#session.run({ image_features: imageFeatures });
    return result.query_embeddings?.data as Float32Array;
  }

  async release(): Promise<void> {
    await this.#session.release();
  }
}
