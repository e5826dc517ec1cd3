/** Runs the graphs of a retrieval bundle (builder/README.md): ITC's two sides, and ITM. */
import type { RetrievalManifest } from '@blip2/shared/bundle-manifest';
import type { Tensor } from 'onnxruntime-node';
import { type GraphSession, openGraph } from '../../runtime/session.ts';
import type { SessionOptions } from '../../runtime/session-options.ts';
import { int64Tensor, paddedIds, rowsOf } from '../../runtime/tensors.ts';
import { isFiniteRow } from '../finite.ts';

type Sessions = {
  [Name in 'qformer' | 'text' | 'itm']: GraphSession<RetrievalManifest['graphs'][Name]>;
};

/** Its image features come from the image encoder. */
export class RetrievalModel {
  readonly #manifest: RetrievalManifest;
  readonly #sessions: Sessions;

  private constructor(manifest: RetrievalManifest, sessions: Sessions) {
    this.#manifest = manifest;
    this.#sessions = sessions;
  }

  /** @throws Error that names the execution provider when it cannot be loaded */
  static async load(
    bundle: string,
    manifest: RetrievalManifest,
    options: SessionOptions,
  ): Promise<RetrievalModel> {
    const { qformer, text, itm } = manifest.graphs;
    return new RetrievalModel(manifest, {
      qformer: await openGraph(bundle, qformer, options),
      text: await openGraph(bundle, text, options),
      itm: await openGraph(bundle, itm, options),
    });
  }

  /**
   * ITC's unit vectors of one image, float32 [queries, itc width].
   * @param features of the image encoder, float32 [1, image tokens, vision width]
   */
  async imageEmbeddings(features: Tensor): Promise<Float32Array> {
    const result = await this.#sessions.qformer.run({ image_features: features });
    return result.itc_embeddings.data as Float32Array;
  }

  /**
   * ITC's unit vector of each text, float32 [itc width].
   * @param texts ids of each, with [CLS] and [SEP]
   */
  async textEmbeddings(texts: readonly (readonly number[])[]): Promise<Float32Array[]> {
    const result = await this.#sessions.text.run(this.#padded(texts));
    return rowsOf(result.itc_embeddings.data as Float32Array, texts.length);
  }

  /**
   * Probability that each text belongs to the image, by ITM: softmax of the logits.
   * @param features of the image encoder, float32 [1, image tokens, vision width]
   * @param texts ids of each, with [CLS] and [SEP]
   */
  async matchProbabilities(
    features: Tensor,
    texts: readonly (readonly number[])[],
  ): Promise<number[]> {
    const inputs = { image_features: features, ...this.#padded(texts) };
    const result = await this.#sessions.itm.run(inputs);
    return rowsOf(result.itm_logits.data as Float32Array, texts.length).map(itmScore);
  }

  async release(): Promise<void> {
    for (const session of Object.values(this.#sessions)) await session.release();
  }

  #padded(texts: readonly (readonly number[])[]) {
    return {
      input_ids: paddedIds(texts, this.#manifest.text.pad_token_id),
      lengths: int64Tensor(texts.map(({ length }) => length)),
    };
  }
}

/**
 * ITM: the softmax of a text's logits. NaN where one is not finite: 0 and 1, which infinite ones lead to, would pass for an answer.
 * @param logits float32 [2], for "no" and "yes"
 */
export function itmScore(logits: Float32Array): number {
  const [no = 0, yes = 0] = logits;
  return isFiniteRow(logits) ? 1 / (1 + Math.exp(no - yes)) : Number.NaN;
}

/**
 * ITC: the best dot product of a text's vector with the queries' (BLIP-2, arXiv 2301.12597, section 3.2).
 * @param image float32 [queries, itc width]
 * @param text float32 [itc width]
 */
export function itcScore(image: Float32Array, text: Float32Array): number {
  const width = text.length;
  let best = -Infinity;
  for (let row = 0; row < image.length; row += width) {
    let sum = 0;
    for (let d = 0; d < width; d++) sum += (image[row + d] as number) * (text[d] as number);
    best = Math.max(best, sum);
  }
  return best;
}
