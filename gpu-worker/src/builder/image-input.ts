/** What pictures become before the image encoder: from the image processor's config into the manifest. */
import { createHash } from 'node:crypto';
import type { BundleManifest } from '@blip2/shared/bundle-manifest';
import type { ImageProcessor, VisionConfig } from './config.ts';
import { CheckpointError } from './errors.ts';

const PREPROCESSING_VERSION = 1;
const RESAMPLE = ['nearest', 'lanczos', 'bilinear', 'bicubic', 'box', 'hamming'] as const;

/** @throws CheckpointError when the processor's pictures are no square of whole patches */
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
    resample: RESAMPLE[processor.resample]!,
  };
}

/** Changes whenever the same picture would become other pixel values. */
export function preprocessingIdentity(image: BundleManifest['image']): string {
  const parameters = createHash('sha256').update(JSON.stringify(image)).digest('hex');
  return `${PREPROCESSING_VERSION}-${parameters.slice(0, 8)}`;
}
