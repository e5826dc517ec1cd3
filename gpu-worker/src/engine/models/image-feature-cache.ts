/** Image features of the last images: what one model has looked at, the other need not look at again. */
import type { Tensor } from 'onnxruntime-node';
import type { Pixels } from '../protocol.ts';
import type { KeptMemory } from '../stats.ts';
import type { VisionRunner } from './image-encoder.ts';
import type { EngineParts } from './load-models.ts';
import { RecentlyUsed } from './recently-used.ts';

/** 23 images of the published checkpoints, 1.4 MB each: between a caption and a match is little time. */
const BUDGET_BYTES = 32 * 2 ** 20;

type Encoder = Pick<VisionRunner, 'encode'>;

export class ImageFeatureCache {
  readonly #kept: RecentlyUsed<Tensor>;

  /** Keeps nothing unless two models share their encoder: one alone is not asked twice, its embeddings are cached. */
  constructor({ generate, retrieve }: EngineParts['vision'], budgetBytes = BUDGET_BYTES) {
    this.#kept = new RecentlyUsed(generate === retrieve ? budgetBytes : 0);
  }

  get memory(): KeptMemory {
    return this.#kept.memory;
  }

  /** Image features of an image, float32 [1, image tokens, vision width]. */
  async features(encoder: Encoder, { key, pixels }: Pixels): Promise<Tensor> {
    const seen = this.#kept.get(key);
    if (seen !== undefined) return seen;
    const features = await encoder.encode(pixels);
    this.#kept.keep(key, features, (features.data as Float32Array).byteLength);
    return features;
  }
}
