/** Decodes an opened image and makes the image encoder's input of it, as BLIP-2's processor does. */
import { ApiError } from '@blip2/shared/errors';
import type { Sharp } from 'sharp';
import { type ImageSpec, normalize } from './normalize.ts';
import { type RgbImage, resample, type Window } from './resample.ts';

/** The part of a model's image input that decides about the resize. */
export type SquareSpec = Pick<ImageSpec, 'size' | 'resize' | 'resample'>;

/**
 * Decodes, resizes, crops the center, scales to 0…1 and normalizes.
 * @returns float32 [3, size, size]
 * @throws ApiError as `decodeSquare`
 */
export async function preprocess(
  pixels: Sharp,
  spec: ImageSpec,
): Promise<Float32Array<ArrayBuffer>> {
  return normalize(await decodeSquare(pixels, spec), spec);
}

/**
 * Decodes and resizes (without `spec.resize` straight to the model's square, whatever the aspect), of which the center is kept.
 * @returns uint8 [size, size, 3]
 * @throws ApiError invalid-image when the pixels turn out to be damaged, unsupported-media-type for rare kinds of JPEG
 */
export async function decodeSquare(pixels: Sharp, spec: SquareSpec): Promise<Uint8Array> {
  const image = await decodePixels(pixels);
  const [width, height] = resizedTo(image, spec);
  return resample(image, width, height, spec.resample, centerOf(width, height, spec.size)).data;
}

/** Width and height before the center crop. */
function resizedTo({ width, height }: RgbImage, { size, resize }: SquareSpec): [number, number] {
  if (resize === undefined) return [size, size];
  if ('width' in resize) return [resize.width, resize.height];
  const { shortest_edge: edge } = resize;
  const longer = Math.floor((edge * Math.max(width, height)) / Math.min(width, height));
  return width < height ? [edge, longer] : [longer, edge];
}

/** The center square of an image that is at least as large. */
function centerOf(width: number, height: number, size: number): Window {
  const left = Math.floor((width - size) / 2);
  const top = Math.floor((height - size) / 2);
  return { left, top, width: size, height: size };
}

async function decodePixels(pixels: Sharp): Promise<RgbImage> {
  try {
    const { data, info } = await pixels
      .removeAlpha()
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    return { data, width: info.width, height: info.height };
  } catch (cause) {
    if (/Unsupported JPEG/.test(String(cause))) {
      const detail =
        'This is a JPEG of a kind that is not decoded here, such as one of 12 bits. Convert it: `magick FILE image.png`.';
      throw new ApiError('unsupported-media-type', detail, { field: 'image', cause });
    }
    const detail = 'The image is damaged or cut off: its pixels cannot be decoded.';
    throw new ApiError('invalid-image', detail, { field: 'image', cause });
  }
}
