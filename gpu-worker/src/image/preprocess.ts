/** Decodes an opened image, and has a pool thread make the image encoder's input of it, as BLIP-2's processor does. */
import { ApiError } from '@blip2/shared/errors';
import { Piscina } from 'piscina';
import type { Sharp } from 'sharp';
import type { ImageSpec } from './preprocess-thread.ts';
import type { RgbImage } from './resample.ts';

/** Threads end when they have been idle for a while, and do not delay the end of the process. */
const pool = new Piscina<{ image: RgbImage; spec: ImageSpec }, Float32Array<ArrayBuffer>>({
  filename: new URL('./preprocess-thread.ts', import.meta.url).href,
  maxThreads: 2,
  idleTimeout: 30_000,
});

/**
 * Decodes, resizes (without `spec.resize` straight to the model's square, whatever the aspect), crops the center, scales to
 * 0…1 and normalizes.
 * @returns float32 [3, size, size]
 * @throws ApiError invalid-image when the pixels turn out to be damaged, unsupported-media-type for rare kinds of JPEG
 */
export async function preprocess(
  pixels: Sharp,
  spec: ImageSpec,
): Promise<Float32Array<ArrayBuffer>> {
  return pool.run({ image: await decodePixels(pixels), spec });
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
