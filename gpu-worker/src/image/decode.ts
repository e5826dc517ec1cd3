/** Opens the bytes of an image: an upright 8-bit sRGB image to decode, or an error that names the problem. */
import { ApiError } from '@blip2/shared/errors';
import type { ImageInfo } from '@blip2/shared/wire';
import sharp, { type Metadata, type Sharp } from 'sharp';

export type ImageLimits = { maxBytes: number; maxPixels: number };

/** An image whose header is valid; its pixels are decoded when `pixels` runs. */
export type OpenedImage = { info: ImageInfo; pixels: Sharp };

const ACCEPTED = 'JPEG, PNG, WebP, GIF or AVIF';

/**
 * Reads the header, checks it against the limits and prepares the decoding: first frame of a GIF, EXIF orientation
 * applied, alpha flattened on white, sRGB.
 * @throws ApiError no-image, unsupported-media-type, image-too-large, body-too-large or invalid-image
 */
export async function openImage(bytes: Uint8Array, limits: ImageLimits): Promise<OpenedImage> {
  if (bytes.byteLength === 0) throw new ApiError('no-image', 'The image is empty.');
  if (bytes.byteLength > limits.maxBytes) {
    throw new ApiError('body-too-large', 'The image has too many bytes.', {
      limit: limits.maxBytes,
      actual: bytes.byteLength,
    });
  }
  // Limits are checked here, from the header, so that the error can name them; decoding comes after.
  const input = sharp(bytes, { failOn: 'error', limitInputPixels: false, pages: 1 });
  let metadata: Metadata;
  try {
    metadata = await input.metadata();
  } catch (cause) {
    throw new ApiError(
      'invalid-image',
      `The bytes are not an image, or one that is damaged or cut off. Send ${ACCEPTED}.`,
      { cause },
    );
  }
  const format = formatOf(metadata);
  if (format !== 'gif' && (metadata.pages ?? 1) > 1) {
    throw new ApiError('invalid-image', 'The image is animated. Send one of its frames.');
  }
  const { width, height } = metadata;
  if (width * height > limits.maxPixels) {
    throw new ApiError('image-too-large', `The image is ${width} × ${height} pixels.`, {
      limit: limits.maxPixels,
      actual: width * height,
    });
  }
  // Orientations 5 to 8 rotate the image by 90 degrees.
  const isRotated = (metadata.orientation ?? 1) >= 5;
  const info = { width: isRotated ? height : width, height: isRotated ? width : height, format };
  const pixels = input.autoOrient().flatten({ background: '#ffffff' }).toColourspace('srgb');
  return { info, pixels };
}

function formatOf(metadata: Metadata): ImageInfo['format'] {
  switch (metadata.format) {
    case 'jpeg':
    case 'png':
    case 'webp':
    case 'gif':
      return metadata.format;
    case 'heif':
      if (metadata.compression === 'av1') return 'avif';
      break;
    default:
  }
  throw new ApiError(
    'unsupported-media-type',
    `Images of the format ${metadata.format} are not accepted. Send ${ACCEPTED}.`,
  );
}
