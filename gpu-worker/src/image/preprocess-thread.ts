/** Resizes and normalizes an image in a pool thread: that is many milliseconds of plain arithmetic. */
import type { BundleManifest } from '@blip2/shared/bundle-manifest';
import { type RgbImage, resample } from './resample.ts';

export type ImageSpec = BundleManifest['image'];

/** @returns float32 [3, size, size] */
export default function preprocessPixels({
  image,
  spec,
}: {
  image: RgbImage;
  spec: ImageSpec;
}): Float32Array<ArrayBuffer> {
  return normalize(resample(image, spec.size, spec.size, spec.resample).data, spec);
}

/** uint8 RGB [size, size, 3] → float32 [3, size, size]: `(value / 255 − mean) / std` per channel. */
function normalize(rgb: Uint8Array, { size, mean, std }: ImageSpec): Float32Array<ArrayBuffer> {
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
