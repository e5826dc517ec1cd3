/** How images are prepared for the image encoder: from the image processor's config into the manifest. */
import { createHash } from 'node:crypto';
import type { BundleManifest } from '@blip2/shared/bundle-manifest';
import type { Precision } from '@blip2/shared/precision';
import { CheckpointError } from '../errors.ts';
import { quantizationOf } from '../precision.ts';
import type { ImageProcessor } from './image-processor.ts';
import type { VisionConfig } from './model-config.ts';

const PREPROCESSING_VERSION = 3;

/** @throws CheckpointError when the processor's images are no square of whole patches */
export function imageInput(
  config: VisionConfig,
  processor: ImageProcessor,
): BundleManifest['image'] {
  const { image_size, patch_size: patch } = config;
  const { size = image_size, crop_size = size, do_center_crop } = processor;
  const resize = typeof size === 'number' ? { height: size, width: size } : size;
  const crop = do_center_crop ? cropOf(crop_size, resize) : null;
  if (crop === null && 'shortest_edge' in resize) {
    throw new CheckpointError(
      `The image processor makes the shorter side ${resize.shortest_edge} pixels and cuts nothing: images would be no squares.`,
    );
  }
  const { height, width } = crop ?? (resize as { height: number; width: number });
  if (height !== width || height % patch !== 0) {
    throw new CheckpointError(
      `The image processor makes ${height} × ${width} pixels: not a square of patches of ${patch}.`,
    );
  }
  const isCut = 'shortest_edge' in resize || resize.height !== height || resize.width !== width;
  return {
    size: height,
    patch,
    ...normalization(processor),
    resample: processor.resample,
    ...(isCut ? { resize } : {}),
  };
}

type Resize = NonNullable<BundleManifest['image']['resize']>;

/** @throws CheckpointError when the middle is larger than the image: transformers would pad it */
function cropOf(
  size: NonNullable<ImageProcessor['crop_size']> | Resize,
  resize: Resize,
): { height: number; width: number } {
  const crop = typeof size === 'number' ? { height: size, width: size } : size;
  const square =
    'shortest_edge' in crop ? { height: crop.shortest_edge, width: crop.shortest_edge } : crop;
  const [height, width] =
    'shortest_edge' in resize
      ? [resize.shortest_edge, resize.shortest_edge]
      : [resize.height, resize.width];
  if (square.height <= height && square.width <= width) return square;
  throw new CheckpointError(
    `The image processor cuts ${square.height} × ${square.width} pixels out of ${height} × ${width}: padding is not supported.`,
  );
}

/**
 * Mean and deviation of values between 0 and 1. Other scales, and what is not normalized, are folded into them:
 * (factor · v − mean) / std = (v / 255 − mean / scale) / (std / scale) with scale = 255 · factor.
 */
function normalization(processor: ImageProcessor): Pick<BundleManifest['image'], 'mean' | 'std'> {
  const { do_rescale, rescale_factor, do_normalize, image_mean, image_std } = processor;
  const exact = do_rescale ? 255 * rescale_factor : 255;
  // A factor that was written with fewer digits means the whole one.
  const scale = Math.abs(exact - 1) < 1e-4 ? 1 : exact;
  const [mean, std] = do_normalize ? [image_mean, image_std] : [0, 1];
  if ([std].flat().some((value) => !(value > 0))) {
    throw new CheckpointError(
      `The image processor's image_std ${JSON.stringify(std)} is not above 0.`,
    );
  }
  return { mean: scaled(mean, scale), std: scaled(std, scale) };
}

function scaled(values: number | readonly number[], scale: number): [number, number, number] {
  const [red, green, blue] = typeof values === 'number' ? [values, values, values] : values;
  return [red! / scale, green! / scale, blue! / scale];
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
