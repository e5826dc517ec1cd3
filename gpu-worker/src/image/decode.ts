/** Opens the bytes of an image: an upright 8-bit RGB image to decode, or an error that names the problem. */
import { ApiError } from '@blip2/shared/errors';
import { endOf, expectWhole } from '@blip2/shared/image-end';
import { checkImage, FORMAT_NAMES, refusalOf } from '@blip2/shared/image-format';
import { HEIC, type ImageFormat, OTHER_HEIF } from '@blip2/shared/image-signatures';
import type { ImageInfo } from '@blip2/shared/wire';
import sharp, { type Metadata, type Sharp } from 'sharp';
import { workOfAvif } from './avif-work.ts';
import { COUNTED_SCANS, type CostLimits, checkCost, type Header } from './cost.ts';
import { decoderInputOf } from './decoder-input.ts';
import { firstFrameOf } from './first-frame.ts';
import { framesOf, isPremultiplied, tilesOf } from './frames.ts';
import { type JpegWork, workOfJpeg } from './jpeg-work.ts';

export type ImageLimits = CostLimits & { maxBytes: number };

/** An image whose header is valid; its pixels are decoded when `pixels` runs, which takes `memory` bytes. */
export type OpenedImage = { info: ImageInfo; pixels: Sharp; memory: number };

// No decoder but these sees bytes from outside. Without that of Ultra HDR, its files are the JPEG that they begin with.
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({
  operation: ['Jpeg', 'Png', 'Webp', 'Nsgif', 'Heif'].map((name) => `VipsForeignLoad${name}Buffer`),
});

/**
 * Reads the header, checks it against the limits and prepares the decoding: first frame of an animation, orientation
 * applied, alpha flattened on white. Values are taken as sRGB, as Pillow takes them: a color profile is not applied, but
 * for CMYK, which has no other meaning.
 * @throws ApiError no-image, unsupported-media-type, image-too-large, body-too-large or invalid-image
 */
export async function openImage(bytes: Uint8Array, limits: ImageLimits): Promise<OpenedImage> {
  const format = checkImage(bytes, { ...limits, field: 'image' });
  // Limits are checked here, from the header, so that the error can name them; decoding comes after.
  const options = { failOn: 'error', limitInputPixels: false, pages: 1 } as const;
  const first = firstFrameOf(bytes, format);
  const { bytes: input, exifBytes } = decoderInputOf(first.bytes, format);
  const metadata = await readHeader(sharp(input, options), format);
  // The decoder reads ahead of the pixels, and fails where that is beyond the end: of a few files in a hundred it is not.
  if (format === 'jpeg' && !endsAsJpeg(bytes)) expectWhole(endOf(bytes), 'image');
  const frames = framesOf(bytes, format) ?? first.frames;
  const header = {
    ...headerOf(input, format, metadata, frames),
    exifBytes,
    codedBytes: first.bytes.byteLength,
    // Of what the decoder sees: in the file that was sent another reader may find others.
    ...(format === 'avif' ? workOfAvif(input) : {}),
    isPremultiplied: format === 'avif' && isPremultiplied(input),
    ...(format === 'jpeg' ? scansOf(input, metadata) : {}),
  };
  const memory = checkCost(header, limits);
  const { width, height } = header;
  const info = { ...metadata.autoOrient, format, ...(frames > 1 ? { frames } : {}) };
  if (header.isPremultiplied) {
    // The decoder takes its colors for those without alpha, with which they would come out too dark.
    const canvas = { width, height, channels: 3, background: '#ffffff' } as const;
    const overlay = { ...options, input: Buffer.from(input), premultiplied: true };
    return { info, memory, pixels: sharp({ create: canvas }).composite([overlay]).removeAlpha() };
  }
  const pixels = sharp(input, { ...options, ignoreIcc: metadata.space !== 'cmyk' })
    .autoOrient()
    .flatten({ background: '#ffffff' })
    .toColourspace('srgb');
  return { info, memory, pixels };
}

/** As most do: the others have something behind their end. */
function endsAsJpeg(bytes: Uint8Array): boolean {
  return bytes.at(-2) === 0xff && bytes.at(-1) === 0xd9;
}

function scansOf(input: Uint8Array, { isProgressive }: Metadata): JpegWork {
  return workOfJpeg(input, { isMultiple: isProgressive, most: COUNTED_SCANS });
}

function headerOf(
  input: Uint8Array,
  format: ImageFormat,
  metadata: Metadata,
  frames: number,
): Omit<Header, 'codedBytes' | 'exifBytes'> {
  const { width, height, channels, depth, space, isProgressive, orientation = 1, icc } = metadata;
  return {
    format,
    width,
    height,
    channels,
    bytesPerSample: depth === 'ushort' ? 2 : 1,
    isCmyk: space === 'cmyk',
    isProgressive,
    isTurned: orientation > 2,
    frames,
    tiles: format === 'avif' ? tilesOf(input) : 0,
    profileBytes: icc?.byteLength ?? 0,
  };
}

/** @throws ApiError `invalid-image`, or `unsupported-media-type` for HEIF of another compression than AV1 */
async function readHeader(input: Sharp, format: ImageFormat): Promise<Metadata> {
  let metadata: Metadata;
  try {
    metadata = await input.metadata();
  } catch (cause) {
    const detail = `The image begins as ${FORMAT_NAMES[format]} does and is damaged or cut off: its header cannot be read.`;
    throw new ApiError('invalid-image', detail, { field: 'image', cause });
  }
  if (format === 'avif' && metadata.compression !== 'av1') {
    const heif = metadata.compression === 'hevc' ? HEIC : OTHER_HEIF;
    throw new ApiError('unsupported-media-type', refusalOf(heif), { field: 'image' });
  }
  return metadata;
}
