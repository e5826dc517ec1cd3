/** AVIF as the decoder takes it: the still image, without metadata. Its boxes name places in the file, so that nothing in it may move. */
import { ApiError } from '@blip2/shared/errors';
import { boxesIn, childOf, type Range, typeAt, viewOf } from './containers.ts';

/**
 * By its first brand: that of a file with an image sequence, and of some others, is another one, although the still image (that of the first
 * frame) is in it as in any. EXIF describes no image any more, as nothing of it decides pixels: an AVIF turns by properties of its own. All that is
 * not read, such as padding by the million, is one box.
 * @throws ApiError `invalid-image` for a sequence without a still image
 */
export function stillAvif(bytes: Uint8Array): Uint8Array {
  const view = viewOf(bytes);
  const whole = { from: 0, to: view.byteLength };
  if (childOf(view, whole, 'meta') === undefined && childOf(view, whole, 'moov') !== undefined) {
    const detail =
      'The AVIF has a sequence of images and no still one. Send its first frame: `ffmpeg -i FILE -frames:v 1 image.png`.';
    throw new ApiError('invalid-image', detail, { field: 'image' });
  }
  const copy = new Uint8Array(bytes);
  if (typeAt(view, BRAND_AT) !== 'avif') write(copy, BRAND_AT, 'avif');
  hideSequence(copy);
  hideMetadata(copy);
  joinUnread(copy, whole);
  return copy;
}

/** Behind size and type of the first box. */
const BRAND_AT = 8;
/** Boxes at the top that say what the still image is. Its bytes are found by their place in the file, whatever box that is in. */
const READ = new Set(['ftyp', 'meta']);

/** Brands of files with a sequence of images: decoders look for it where one of them stands (AV1 Image File Format, 6.3; ISO/IEC 23008-12, 7). */
const SEQUENCE_BRANDS = new Set(['avis', 'msf1']);
const BRAND_BYTES = 4;

function hideSequence(bytes: Uint8Array): void {
  const view = viewOf(bytes);
  const brands = childOf(view, { from: 0, to: view.byteLength }, 'ftyp');
  if (brands === undefined) return;
  // The first brand, and its version, are no list.
  for (let at = brands.from + 2 * BRAND_BYTES; at + BRAND_BYTES <= brands.to; at += BRAND_BYTES) {
    if (SEQUENCE_BRANDS.has(typeAt(view, at))) write(bytes, at, 'mif1');
  }
}

/** Decoders parse EXIF of an image, which is what an item refers to by this type (ISO/IEC 23008-12, A.2). */
function hideMetadata(bytes: Uint8Array): void {
  const view = viewOf(bytes);
  for (const { type, from, to } of boxesIn(view, { from: 0, to: view.byteLength })) {
    if (type !== 'meta') continue;
    // Version and flags.
    for (const box of boxesIn(view, { from: from + 4, to })) {
      if (box.type !== 'iref') continue;
      for (const reference of boxesIn(view, { from: box.from + 4, to: box.to })) {
        if (reference.type === 'cdsc') write(bytes, reference.typeAt, 'free');
      }
    }
  }
}

/** `free`: content that means nothing. */
const FREE = 0x66726565;

/** Gives boxes in a row that are not read one header. */
function joinUnread(bytes: Uint8Array, whole: Range): void {
  const view = viewOf(bytes);
  let start: number | undefined;
  for (const { type, typeAt: at, to } of boxesIn(view, whole)) {
    if (READ.has(type)) {
      start = undefined;
      continue;
    }
    if (start === undefined) start = at - 4;
    else {
      view.setUint32(start, to - start);
      view.setUint32(start + 4, FREE);
    }
  }
}

function write(bytes: Uint8Array, at: number, text: string): void {
  bytes.set(new TextEncoder().encode(text), at);
}
