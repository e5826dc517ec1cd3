/** Runs the graphs of a retrieval bundle (builder/README.md): ITC's two sides, and ITM. */
import type { RetrieveManifest } from '@blip2/shared/bundle-manifest';
import { type InferenceSession, Tensor } from 'onnxruntime-node';
import { openGraph, type SessionPlace } from '../../runtime/session.ts';
import { paddedIds, rowsOf } from '../../runtime/tensors.ts';

export class RetrievalRunner {
  readonly #manifest: RetrieveManifest;
  readonly #qformer: InferenceSession;
  readonly #text: InferenceSession;
  readonly #itm: InferenceSession;

  private constructor(manifest: RetrieveManifest, sessions: readonly InferenceSession[]) {
    this.#manifest = manifest;
    [this.#qformer, this.#text, this.#itm] = sessions as [
      InferenceSession,
      InferenceSession,
      InferenceSession,
    ];
  }

  /** @throws Error that names the execution provider when it cannot be loaded */
  static async load(place: SessionPlace, manifest: RetrieveManifest): Promise<RetrievalRunner> {
    return new RetrievalRunner(manifest, [
      await openGraph(place, 'qformer'),
      await openGraph(place, 'text'),
      await openGraph(place, 'itm'),
    ]);
  }

  /**
   * ITC's unit vectors of one image, float32 [queries, itc width].
   * @param features of the image encoder, float32 [1, image tokens, vision width]
   */
  async imageEmbeddings(features: Tensor): Promise<Float32Array> {
    const result = await this.#qformer.run({ image_features: features });
    return result.image_embeddings?.data as Float32Array;
  }

  /**
   * ITC's unit vector of each text, float32 [itc width].
   * @param texts ids with [CLS] and [SEP]
   */
  async textEmbeddings(texts: readonly (readonly number[])[]): Promise<Float32Array[]> {
    const result = await this.#text.run(this.#padded(texts));
    return rowsOf(result.text_embeddings?.data as Float32Array, texts.length);
  }

  /** Probability that each text belongs to the image, by ITM: softmax of the logits. */
  async matchProbabilities(
    features: Tensor,
    texts: readonly (readonly number[])[],
  ): Promise<number[]> {
    const result = await this.#itm.run({ image_features: features, ...this.#padded(texts) });
    return rowsOf(result.itm_logits?.data as Float32Array, texts.length).map((logits) => {
      const [no = 0, yes = 0] = logits;
      return 1 / (1 + Math.exp(no - yes));
    });
  }

  async release(): Promise<void> {
    for (const session of [this.#qformer, this.#text, this.#itm]) await session.release();
  }

  #padded(texts: readonly (readonly number[])[]) {
    const lengths = BigInt64Array.from(texts, ({ length }) => BigInt(length));
    return {
      input_ids: paddedIds(texts, this.#manifest.text.pad_token_id),
      lengths: new Tensor('int64', lengths, [texts.length]),
    };
  }
}

/** ITC: the best dot product of a text's vector with the queries' (paper, section 3.2). */
export function itcScore(image: Float32Array, text: Float32Array): number {
  const width = text.length;
  let best = -1;
  for (let row = 0; row < image.length; row += width) {
    let sum = 0;
    for (let d = 0; d < width; d++) sum += (image[row + d] as number) * (text[d] as number);
    best = Math.max(best, sum);
  }
  return best;
}
