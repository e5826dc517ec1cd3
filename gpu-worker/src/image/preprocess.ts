/** An opened picture → the image encoder's input, as BLIP-2's processor makes it. */
import type { BundleManifest } from '@blip2/shared/bundle-manifest';
import { ApiError } from '@blip2/shared/errors';
import type { Sharp } from 'sharp';

type ImageSpec = BundleManifest['image'];

/** sharp's kernels by the names of the processor's `resample`. `cubic` is Pillow's bicubic (a = −0.5). */
const KERNELS = {
  nearest: 'nearest',
  lanczos: 'lanczos3',
  bilinear: 'linear',
  bicubic: 'cubic',
  box: null,
  hamming: null,
} as const satisfies Record<ImageSpec['resample'], string | null>;

/**
 * Resizes straight to the model's square (aspect is not kept), scales to 0…1 and normalises.
 * @returns float32 [3, size, size]
 * @throws ApiError invalid-image when the pixels turn out to be damaged
 */
export async function preprocess(
  pixels: Sharp,
  spec: ImageSpec,
): Promise<Float32Array<ArrayBuffer>> {
  const kernel = KERNELS[spec.resample];
  if (kernel === null) throw new Error(`resampling ${spec.resample} is not supported`);
  const { size } = spec;
  let rgb: Buffer;
  try {
    rgb = await pixels
      .resize(size, size, { fit: 'fill', kernel, fastShrinkOnLoad: false })
      .removeAlpha()
      .raw({ depth: 'uchar' })
      .toBuffer();
  } catch (cause) {
    throw new ApiError('invalid-image', 'The picture is truncated or damaged.', { cause });
  }
  return normalise(rgb, spec);
}

/** uint8 RGB [size, size, 3] → float32 [3, size, size]: `(value / 255 − mean) / std` per channel. */
export function normalise(
  rgb: Uint8Array,
  { size, mean, std }: ImageSpec,
): Float32Array<ArrayBuffer> {
  const plane = size * size;
  const out = new Float32Array(3 * plane);
  for (let channel = 0; channel < 3; channel++) {
    const scale = 1 / (255 * (std[channel] as number));
    const shift = (mean[channel] as number) / (std[channel] as number);
    for (let i = 0; i < plane; i++) {
      out[channel * plane + i] = (rgb[3 * i + channel] as number) * scale - shift;
    }
  }
  return out;
}
