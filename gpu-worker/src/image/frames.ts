/** What the decoder does not see in a file by itself: frames of animations, late EXIF of PNG, alpha and brands of AVIF. */
import { ApiError } from '@blip2/shared/errors';
import type { ImageFormat } from '@blip2/shared/image-signatures';

/**
 * @param pages as the decoder counts them; of AVIF these are items, which may be parts of one image: no frames
 * @returns 1 for a still image
 * @example framesOf(bytes, 'png', undefined) // 12, from the animation control chunk
 */
export function framesOf(
  bytes: Uint8Array,
  format: ImageFormat,
  pages: number | undefined,
): number {
  if (format === 'png') return framesOfPng(viewOf(bytes)) ?? 1;
  if (format === 'avif') return framesOfSequence(viewOf(bytes)) ?? 1;
  return pages ?? 1;
}

/**
 * An AVIF as the decoder takes it: by its first brand. That of a file with an image sequence, and of some others, is
 * another one, although the still image (that of the first frame) is in it as in any.
 * @throws ApiError `invalid-image` for a sequence without a still image
 */
export function asStillAvif(bytes: Uint8Array): Uint8Array {
  const view = viewOf(bytes);
  const whole = { from: 0, to: view.byteLength };
  if (childOf(view, whole, 'meta') === undefined && childOf(view, whole, 'moov') !== undefined) {
    const detail =
      'The AVIF has a sequence of images and no still one. Send its first frame: `ffmpeg -i FILE -frames:v 1 image.png`.';
    throw new ApiError('invalid-image', detail, { field: 'image' });
  }
  if (typeAt(view, BRAND_AT) === 'avif') return bytes;
  const copy = Uint8Array.from(bytes);
  copy.set(new TextEncoder().encode('avif'), BRAND_AT);
  return copy;
}

/**
 * A PNG as the decoder takes it: it reads EXIF before the pixels alone, and some programs that turn an image by its
 * EXIF write that at the end, as they may.
 */
export function withEarlyExif(bytes: Uint8Array): Uint8Array {
  const view = viewOf(bytes);
  let pixelsAt: number | undefined;
  for (const { at, type, end } of chunksOfPng(view)) {
    if (type === 'IDAT') pixelsAt ??= at;
    if (type !== 'eXIf') continue;
    if (pixelsAt === undefined) return bytes;
    const parts = [[0, pixelsAt], [at, end], [pixelsAt, at], [end]] as const;
    return Buffer.concat(parts.map(([from, to]) => bytes.subarray(from, to)));
  }
  return bytes;
}

/** Whether the colors of an AVIF are multiplied by its alpha already: a reference of one item to another says so. */
export function isPremultiplied(bytes: Uint8Array): boolean {
  const view = viewOf(bytes);
  const meta = childOf(view, { from: 0, to: view.byteLength }, 'meta');
  // Both begin with version and flags.
  const references = meta && childOf(view, { ...meta, from: meta.from + 4 }, 'iref');
  return (
    references !== undefined &&
    childOf(view, { ...references, from: references.from + 4 }, 'prem') !== undefined
  );
}

/** Behind size and type of the first box. */
const BRAND_AT = 8;

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

/** PNG: `acTL`, which names the number of frames, stands before `IDAT`. */
function framesOfPng(view: DataView): number | undefined {
  for (const { at, type } of chunksOfPng(view)) {
    if (type === 'IDAT') return undefined;
    if (type === 'acTL') return view.getUint32(at + 8);
  }
  return undefined;
}

/** PNG: chunks of length, type, data and checksum. One that is cut off ends them. */
function* chunksOfPng(view: DataView): Generator<{ at: number; type: string; end: number }> {
  for (let at = 8; at + 12 <= view.byteLength; ) {
    const end = at + 12 + view.getUint32(at);
    if (end > view.byteLength) return;
    yield { at, type: typeAt(view, at + 4), end };
    at = end;
  }
}

/** ISO base media: the number of samples in the sample sizes of the first track. */
function framesOfSequence(view: DataView): number | undefined {
  let range: Range | undefined = { from: 0, to: view.byteLength };
  for (const type of ['moov', 'trak', 'mdia', 'minf', 'stbl', 'stsz']) {
    range = range && childOf(view, range, type);
  }
  // Version and flags, one size for all samples or 0, count.
  return range && range.from + 12 <= range.to ? view.getUint32(range.from + 8) : undefined;
}

type Range = { from: number; to: number };

/** The content of the first box of a type. A box begins with its size, 8 bytes of header included, and its type. */
function childOf(view: DataView, { from, to }: Range, type: string): Range | undefined {
  for (let at = from; at + 8 <= to; ) {
    const size = view.getUint32(at);
    // 0 reaches to the end; 1 stands for a size in 64 bits, which follows the type.
    const isLong = size === 1 && at + 16 <= to;
    const length = size === 0 ? to - at : isLong ? Number(view.getBigUint64(at + 8)) : size;
    const end = at + length;
    if (length < 8 || end > to) return undefined;
    if (typeAt(view, at + 4) === type) return { from: at + (isLong ? 16 : 8), to: end };
    at = end;
  }
  return undefined;
}

function typeAt(view: DataView, at: number): string {
  return String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(at + i)));
}
