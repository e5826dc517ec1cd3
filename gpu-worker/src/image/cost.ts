/** What an image costs to decode, estimated from its header and bounded before any of it is spent. */
import { ApiError } from '@blip2/shared/errors';
import { FORMAT_NAMES } from '@blip2/shared/image-format';
import type { ImageFormat } from '@blip2/shared/image-signatures';

const MEBIBYTE = 2 ** 20;

/** What no image that people send comes near. */
const BOUNDS = {
  /** Decoders take their time for each row, and memory for rows, however few pixels are in them. */
  side: 1_000_000,
  /** They are not decoded, but counted. */
  frames: 100_000,
  tiles: 1024,
  /** Those of a progressive JPEG, each of which passes over the whole image. */
  scans: 100,
  profileBytes: 4 * MEBIBYTE,
  exifBytes: MEBIBYTE,
};
/**
 * Pixels and bytes of some formats take as long as several pixels of others, which take 20 to 40 ns each. Measured with libvips 8.18 on one core, ns:
 * a pixel of AVIF 58 to 66, of an interlaced PNG 43 to 62, of CMYK 80 to 92, of 16 bits with alpha 62 (turned 87; gray 65);
 * a byte of AVIF 170 to 220, of WebP 90 to 120. A pixel of an AVIF whose colors are multiplied by its alpha takes 105 to 123.
 */
const HEAVY_PIXEL_WEIGHT = 2;
const HEAVIEST_PIXEL_WEIGHT = 4;
const BYTE_WEIGHTS: Partial<Record<ImageFormat, number>> = { avif: 6, webp: 3 };
/**
 * Of a JPEG, a coefficient that a scan passes over 1.1 ns, 5.4 with arithmetic coding; a byte of that up to 1240, as a bit may be thirty decisions.
 */
const COEFFICIENT_WEIGHTS = { huffman: 0.04, arithmetic: 0.2 };
const ARITHMETIC_BYTE_WEIGHT = 40;
/** Of pixels and bytes together: about two seconds. An operator who accepts more pixels has more of it, too. */
const WORK = 75_000_000;
const WORK_PER_PIXEL = 1.5;
/** Images of a grid reach over its edges: together they may have so many times the pixels that an image may have. */
const OVERHANG = 1.25;
/** Images of a grid that are decoded at a time. */
const TILES_AT_ONCE = 4;

const ORDINARY = 'Save it as an ordinary image: `magick FILE image.png`.';

/** How many scans need be counted. */
export const COUNTED_SCANS = BOUNDS.scans + 1;

export type CostLimits = {
  maxPixels: number;
  /** Bytes that decoding may take by the estimate; any number when left out. */
  maxMemory?: number;
};

/** What the header of an image says. */
export type Header = {
  format: ImageFormat;
  width: number;
  height: number;
  /** Alpha included. */
  channels: number;
  bytesPerSample: 1 | 2;
  isCmyk?: boolean;
  /** Of an AVIF: whether its colors are multiplied by its alpha. */
  isPremultiplied?: boolean;
  /** Whether a PNG or JPEG is interlaced or progressive: all of it is held until its last row is known. */
  isProgressive: boolean;
  /** Whether its last rows have to be known before the first. */
  isTurned: boolean;
  frames: number;
  /** Images that an AVIF is composed of. */
  tiles: number;
  /** Pixels of all images that an AVIF is made of, as often as each is decoded, and of the largest. */
  pixels?: number;
  largest?: number;
  /** Of a JPEG, and the coefficients that they pass over together. */
  scans?: number;
  coefficients?: number;
  isArithmetic?: boolean;
  /** Compressed, of the pixels that are decoded. */
  codedBytes: number;
  profileBytes: number;
  exifBytes: number;
};

/**
 * Memory that decoding takes at its peak, bytes. Measured with libvips 8.18 on images of 20 megapixels of every kind, with a tenth to spare.
 * @example memoryOf({ format: 'png', width: 7000, height: 7000, channels: 3, … }) // 223,000,000
 */
export function memoryOf(header: Header): number {
  const { format, width, channels, bytesPerSample, isProgressive, isTurned } = header;
  const stored = channels * bytesPerSample;
  // RGB of eight bits, for the resize, and what allocators lose.
  let perPixel = 4;
  if (format === 'webp') perPixel += 9;
  if (format === 'gif') perPixel += 5;
  if (format === 'avif') perPixel += (channels > 3 ? 17 : 14) * (bytesPerSample === 2 ? 1.5 : 1);
  // A progressive JPEG is held as coefficients of 16 bits.
  if (isProgressive && format === 'jpeg') perPixel += 2.5 * channels;
  if (isProgressive && format === 'png') perPixel += stored;
  if (isTurned) perPixel += stored;
  // A band of rows passes through at a time.
  const rows = 16 * stored * width;
  return Math.ceil(heldPixels(header) * perPixel + rows + header.profileBytes + header.exifBytes);
}

/**
 * @returns the memory that decoding takes, bytes
 * @throws ApiError `image-too-large` that names what is too much, how much is accepted, and what to do
 */
export function checkCost(header: Header, limits: CostLimits): number {
  const { width, height, format } = header;
  const size = `${width} × ${height} pixels`;
  checkPixels(header, limits.maxPixels);
  const side = `The image is ${size}; a side of at most ${BOUNDS.side} is accepted. Crop it, or scale it down.`;
  refuseAbove(BOUNDS.side, Math.max(width, height), side);
  const still = 'Send one of them: `ffmpeg -i FILE -frames:v 1 image.png`.';
  const frames = `The image has ${header.frames} frames; at most ${BOUNDS.frames} are accepted. ${still}`;
  refuseAbove(BOUNDS.frames, header.frames, frames);
  const tiles = `The image is a grid of ${header.tiles} images; at most ${BOUNDS.tiles} are accepted. ${ORDINARY}`;
  refuseAbove(BOUNDS.tiles, header.tiles, tiles);
  const scans = `The image is a JPEG of more than ${BOUNDS.scans} scans, as no program writes them. ${ORDINARY}`;
  refuseAbove(BOUNDS.scans, header.scans ?? 1, scans);
  checkScans(header, limits.maxPixels);
  checkCodedBytes(header, limits.maxPixels);
  refuseMetadata('color profile', header.profileBytes, BOUNDS.profileBytes);
  refuseMetadata('EXIF', header.exifBytes, BOUNDS.exifBytes);
  const memory = memoryOf(header);
  const { maxMemory = Number.POSITIVE_INFINITY } = limits;
  const kind = `${FORMAT_NAMES[format]}${header.isProgressive ? ', progressive or interlaced' : ''}, ${8 * header.bytesPerSample} bits a channel`;
  const needed = `Decoding this image (${size}, ${kind}) takes about ${mebibytes(memory)} MiB of memory; at most ${mebibytes(maxMemory)} are allowed. Scale it down, or save it as a plain JPEG.`;
  refuseAbove(maxMemory, memory, needed);
  return memory;
}

/** Those that take time. */
function workPixels({ width, height, pixels = 0 }: Header): number {
  return Math.max(width * height, Math.ceil(pixels / OVERHANG));
}

/** Those that take memory at a time. */
function heldPixels({ width, height, pixels = 0, largest = 0 }: Header): number {
  return Math.max(
    width * height,
    largest,
    Math.ceil(Math.min(pixels, TILES_AT_ONCE * largest) / OVERHANG),
  );
}

/** What an image is whose pixels take longer than those of others. */
function heavyKindOf(header: Header): string | undefined {
  const { format, channels, bytesPerSample, isCmyk, isProgressive, isTurned } = header;
  const name = FORMAT_NAMES[format];
  if (format === 'avif') return header.isPremultiplied ? `${name} of premultiplied alpha` : name;
  const hasAlpha = channels === 2 || channels === 4;
  if (format === 'png' && isProgressive) {
    return `an interlaced ${name}${isHeavyTwice(header) ? ' of 16 bits a channel with transparency, turned by EXIF' : ''}`;
  }
  if (isCmyk) return `${name} of CMYK`;
  if (bytesPerSample === 2) return `${name} of 16 bits a channel`;
  return isTurned && hasAlpha ? `${name} with transparency, turned by EXIF` : undefined;
}

function isHeavyTwice(header: Header): boolean {
  const { format, channels, bytesPerSample, isProgressive, isTurned } = header;
  const isDeepAlpha = bytesPerSample === 2 && (channels === 2 || channels === 4);
  const isTurnedPng = format === 'png' && isProgressive && isTurned && isDeepAlpha;
  return isTurnedPng || header.isPremultiplied === true;
}

function weightOf(header: Header): number {
  if (heavyKindOf(header) === undefined) return 1;
  return isHeavyTwice(header) ? HEAVIEST_PIXEL_WEIGHT : HEAVY_PIXEL_WEIGHT;
}

function checkPixels(header: Header, maxPixels: number): void {
  const { width, height } = header;
  const kind = heavyKindOf(header);
  const limit = Math.floor(maxPixels / weightOf(header));
  const size = `${width} × ${height} pixels`;
  const plain = header.isCmyk ? 'JPEG of RGB' : 'JPEG';
  const detail =
    kind === undefined
      ? `The image is ${size}; at most ${limit} in all are accepted. Scale it down.`
      : `The image is ${size} as ${kind}; at most ${limit} in all are accepted of that format, which takes longer to decode. Scale it down, or send it as ${plain} (at most ${maxPixels}).`;
  refuseAbove(limit, width * height, detail);
  const { pixels = 0 } = header;
  const most = Math.floor(limit * OVERHANG);
  const made = `The image is ${size}, for which ${countOf(pixels)} are decoded: all of each part, layer and turn of the AVIF, as often as it is there, before anything is cut off; at most ${most} in all are accepted. ${ORDINARY}`;
  refuseAbove(most, pixels, made);
}

/** A progressive JPEG says next to nothing in a scan that takes as long as any. */
function checkScans(header: Header, maxPixels: number): void {
  const { width, height, scans = 1, coefficients = 0 } = header;
  if (header.format !== 'jpeg') return;
  const left = workFor(maxPixels) - weightOf(header) * workPixels(header);
  const limit = Math.floor(left / coefficientWeightOf(header));
  const detail = `The image is a JPEG of ${width} × ${height} pixels whose scans (${scans}) pass over ${coefficients} coefficients; at most ${limit} are accepted of so many pixels, as they take long to decode. ${ORDINARY}`;
  refuseAbove(limit, coefficients, detail);
}

function coefficientWeightOf({ isArithmetic }: Header): number {
  return isArithmetic ? COEFFICIENT_WEIGHTS.arithmetic : COEFFICIENT_WEIGHTS.huffman;
}

function workFor(maxPixels: number): number {
  return Math.max(WORK, WORK_PER_PIXEL * maxPixels);
}

/** The fewer pixels, the more bytes they may have. */
function checkCodedBytes(header: Header, maxPixels: number): void {
  const { width, height, format, codedBytes } = header;
  const weight = header.isArithmetic ? ARITHMETIC_BYTE_WEIGHT : BYTE_WEIGHTS[format];
  if (weight === undefined) return;
  const scans = (header.coefficients ?? 0) * coefficientWeightOf(header);
  const left = workFor(maxPixels) - weightOf(header) * workPixels(header) - scans;
  const limit = Math.floor(left / weight);
  const detail = `The image is ${FORMAT_NAMES[format]} of ${width} × ${height} pixels in ${codedBytes} bytes; at most ${limit} are accepted of so many pixels, as they take long to decode. Save it at a lower quality, scale it down, or send it as JPEG${header.isArithmetic ? ' of Huffman coding' : ''}.`;
  refuseAbove(limit, codedBytes, detail);
}

function refuseMetadata(name: string, actual: number, limit: number): void {
  const detail = `The image carries ${actual} bytes of ${name}; at most ${limit} are accepted. Remove it: \`exiftool -all= FILE\`.`;
  refuseAbove(limit, actual, detail);
}

function refuseAbove(limit: number, actual: number, detail: string): void {
  if (actual <= limit) return;
  throw new ApiError('image-too-large', detail, { field: 'image', limit, actual });
}

/** Of what cannot be counted there is no number. */
const countOf = (pixels: number) => (pixels < Number.MAX_SAFE_INTEGER ? pixels : 'countless');

const mebibytes = (bytes: number) => Math.ceil(bytes / MEBIBYTE);
