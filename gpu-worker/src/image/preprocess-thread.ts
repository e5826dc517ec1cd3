/** Resizes, crops and normalizes an image in a pool thread: that is many milliseconds of plain arithmetic. */
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
  const [width, height] = resizedTo(image, spec);
  return normalize(centerCrop(resample(image, width, height, spec.resample), spec.size), spec);
}

/** Width and height before the center crop. */
function resizedTo({ width, height }: RgbImage, { size, resize }: ImageSpec): [number, number] {
  if (resize === undefined) return [size, size];
  if ('width' in resize) return [resize.width, resize.height];
  const { shortest_edge: edge } = resize;
  const longer = Math.floor((edge * Math.max(width, height)) / Math.min(width, height));
  return width < height ? [edge, longer] : [longer, edge];
}

/** The center square of an image that is at least as large, uint8 [size, size, 3]. */
function centerCrop({ data, width, height }: RgbImage, size: number): Uint8Array {
  if (width === size && height === size) return data;
  const [left, top] = [width, height].map((side) => Math.floor((side - size) / 2)) as [
    number,
    number,
  ];
  const cropped = new Uint8Array(3 * size * size);
  for (let y = 0; y < size; y++) {
    const from = 3 * ((top + y) * width + left);
    cropped.set(data.subarray(from, from + 3 * size), 3 * size * y);
  }
  return cropped;
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
