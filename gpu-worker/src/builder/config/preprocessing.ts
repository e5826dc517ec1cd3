/** How images are prepared for the image encoder: from the image processor's config into the manifest. */
import { createHash } from 'node:crypto';
import type { BundleManifest, Precision } from '@blip2/shared/bundle-manifest';
import { CheckpointError } from '../errors.ts';
import { quantizationOf } from '../precision.ts';
import type { ImageProcessor } from './image-processor.ts';
import type { VisionConfig } from './model-config.ts';

const PREPROCESSING_VERSION = 1;

/** @throws CheckpointError when the processor's images are no square of whole patches */
export function imageInput(
  config: VisionConfig,
  processor: ImageProcessor,
): BundleManifest['image'] {
  const { image_size, patch_size: patch } = config;
  const { size = image_size } = processor;
  const [height, width] = typeof size === 'object' ? [size.height, size.width] : [size, size];
  if (height !== width || height % patch !== 0) {
    throw new CheckpointError(
      `The image processor makes ${height} × ${width} pixels: not a square of patches of ${patch}.`,
    );
  }
  return {
    size: height,
    patch,
    mean: processor.image_mean,
    std: processor.image_std,
    resample: processor.resample,
  };
}

/**
 * Changes whenever the same image would give other embeddings with the same weights: because of other pixel values, or of
 * an image encoder and Q-Former in fewer bits.
 */
export function preprocessingIdentity(
  image: BundleManifest['image'],
  precision: Precision,
): string {
  const parameters = createHash('sha256').update(JSON.stringify(image)).digest('hex');
  const quantization = quantizationOf(precision, 'image', 0);
  const suffix = quantization === null ? '' : `-int8-${quantization.scales}`;
  return `${PREPROCESSING_VERSION}-${parameters.slice(0, 8)}${suffix}`;
}
