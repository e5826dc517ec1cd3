/** Files as the decoder takes them: the parts that decide pixels, each as often as that has a meaning, and of EXIF the orientation alone. */
import type { ImageFormat } from '@blip2/shared/image-signatures';
import { stillAvif } from './input-avif.ts';
import { strippedJpeg } from './input-jpeg.ts';
import { strippedPng } from './input-png.ts';
import { strippedWebp } from './input-webp.ts';
import type { DecoderInput } from './pieces.ts';

/**
 * Damage stays as it is, for the decoder to refuse.
 * @param bytes with the first frame of an animation alone
 * @throws ApiError `invalid-image` for an AVIF sequence without a still image
 */
export function decoderInputOf(bytes: Uint8Array, format: ImageFormat): DecoderInput {
  switch (format) {
    case 'jpeg':
      return { bytes: strippedJpeg(bytes), exifBytes: 0 };
    case 'png':
      return strippedPng(bytes);
    case 'webp':
      return strippedWebp(bytes);
    case 'avif':
      return { bytes: stillAvif(bytes), exifBytes: 0 };
    case 'gif':
      return { bytes, exifBytes: 0 };
  }
}
