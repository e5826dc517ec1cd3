/** What pictures become before the image encoder: from the image processor's config into the manifest. */
import { createHash } from 'node:crypto';
import type { BundleManifest } from '@blip2/shared/bundle-manifest';
import type { ImageProcessor, VisionConfig } from './config.ts';
import { CheckpointError } from './errors.ts';

const PREPROCESSING_VERSION = 1;
const RESAMPLE = ['nearest', 'lanczos', 'bilinear', 'bicubic', 'box', 'hamming'] as const;

/** @throws CheckpointError when the processor makes pictures of another size than the encoder takes */
export function imageInput(
  config: VisionConfig,
  processor: ImageProcessor,
): BundleManifest['image'] {
  const { image_size: side, patch_size: patch } = config;
  const { size } = processor;
  const [height, width] = typeof size === 'object' ? [size.height, size.width] : [size, size];
  if (size !== undefined && (height !== side || width !== side)) {
    throw new CheckpointError(
      `The image processor makes ${height} × ${width} pixels, vision_config.image_size is ${side}.`,
    );
  }
  return {
    size: side,
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
