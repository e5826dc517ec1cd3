/** The last step before the image encoder: scales an image's values and arranges them by channel. */
import type { BundleManifest } from '@blip2/shared/bundle-manifest';

export type ImageSpec = BundleManifest['image'];

/**
 * `(value / 255 − mean) / std` per channel.
 * @param rgb uint8 [size, size, 3]
 * @returns float32 [3, size, size]
 */
export function normalize(
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
