/** Image features of the last images: for another model, or another instruction, they are not encoded again. */
import { LRUCache } from 'lru-cache';
import type { Tensor } from 'onnxruntime-node';
import { DroppedImages, keyPrefixOf } from '../dropped-images.ts';
import { expectFinite } from '../finite.ts';
import type { Origin, Pixels } from '../protocol.ts';
import type { CacheStats } from '../stats.ts';
import type { EngineModels } from './load-models.ts';

/** 23 images of the published checkpoints, 1.4 MB each: between two questions about an image is little time. */
const BUDGET_BYTES = 32 * 2 ** 20;

type Origins = readonly (Origin | undefined)[];

type Encoder = Pick<EngineModels['imageEncoder']['generate'], 'encode'>;

type Models = Pick<EngineModels, 'imageEncoder'> & {
  qformer: Pick<EngineModels['qformer'], 'readsInstruction'>;
};

/** Counts look-ups where it caches nothing, too: each miss is a run of an image encoder. */
export class ImageFeatureCache {
  /** Null where nothing is cached. */
  readonly #features: LRUCache<string, Tensor> | null;
  readonly #lookups = { hits: 0, misses: 0 };
  readonly #dropped: DroppedImages;

  /**
   * Caches nothing unless two models share their encoder, or the embeddings of an image are others for each instruction:
   * else, the embeddings are cached, by the callers.
   */
  constructor(
    { imageEncoder, qformer }: Models,
    budgetBytes = BUDGET_BYTES,
    dropped = new DroppedImages(),
  ) {
    this.#dropped = dropped;
    const isUseful = imageEncoder.generate === imageEncoder.retrieve || qformer.readsInstruction;
    this.#features = isUseful
      ? new LRUCache({ maxSize: budgetBytes, sizeCalculation: bytesOf })
      : null;
  }

  /** Look-ups since the start, and the bytes that are cached now. */
  get stats(): CacheStats {
    return { ...this.#lookups, bytes: this.#features?.calculatedSize ?? 0 };
  }

  /**
   * Image features of an image, float32 [1, image tokens, vision width]: cached ones, or those of a run of `encoder`.
   * @param origins of the jobs that need them: where the image was dropped after all of them, they are not cached
   * @throws the encoder's error, or ApiError computation-failed where the features are not finite; nothing is cached then
   */
  async features(
    encoder: Encoder,
    { key, pixels }: Pixels,
    origins: Origins = [],
  ): Promise<Tensor> {
    const cached = this.#features?.get(key);
    this.#lookups[cached === undefined ? 'misses' : 'hits'] += 1;
    if (cached !== undefined) return cached;
    const features = await encoder.encode(pixels);
    expectFinite(features.data as Float32Array, 'image features');
    if (!this.#dropped.includesAll(origins)) this.#features?.set(key, features);
    return features;
  }

  /** Drops what is cached of an image. */
  drop(image: string): void {
    for (const key of this.#features?.keys() ?? []) {
      if (key.startsWith(keyPrefixOf(image))) this.#features?.delete(key);
    }
  }
}

const bytesOf = ({ data }: Tensor) => (data as Float32Array).byteLength;
