/** Walks over the parts of image files: chunks of PNG, boxes of AVIF, markers of JPEG. What is cut off ends a walk. */

export function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

/** PNG: chunks of length, type, data and checksum. One that is cut off ends them. */
export function* chunksOfPng(view: DataView): Generator<{ at: number; type: string; end: number }> {
  for (let at = 8; at + 12 <= view.byteLength; ) {
    const end = at + 12 + view.getUint32(at);
    if (end > view.byteLength) return;
    yield { at, type: typeAt(view, at + 4), end };
    at = end;
  }
}

/** A part of a file, in bytes. */
export type Range = { from: number; to: number };

/** ISO base media: the content of the first box of a type. */
export function childOf(view: DataView, within: Range, type: string): Range | undefined {
  for (const box of boxesIn(view, within)) if (box.type === type) return box;
  return undefined;
}

/** ISO base media: boxes, each with its content. A box begins with its size, 8 bytes of header included, and its type. */
export function* boxesIn(
  view: DataView,
  { from, to }: Range,
): Generator<Range & { type: string; typeAt: number }, void, undefined> {
  for (let at = from; at + 8 <= to; ) {
    const size = view.getUint32(at);
    // 0 reaches to the end; 1 stands for a size in 64 bits, which follows the type.
    const isLong = size === 1 && at + 16 <= to;
    const length = size === 0 ? to - at : isLong ? Number(view.getBigUint64(at + 8)) : size;
    const end = at + length;
    if (length < 8 || end > to) return;
    yield { type: typeAt(view, at + 4), typeAt: at + 4, from: at + (isLong ? 16 : 8), to: end };
    at = end;
  }
}

export function typeAt(view: DataView, at: number): string {
  return String.fromCharCode(
    view.getUint8(at),
    view.getUint8(at + 1),
    view.getUint8(at + 2),
    view.getUint8(at + 3),
  );
}

export const START_OF_SCAN = 0xda;
const END_OF_IMAGE = 0xd9;

/** Markers without a segment, as those below it: restarts, and the start of an image. */
const isWithoutSegment = (marker: number) => marker < 0xc0 || (marker >= 0xd0 && marker <= 0xd8);

/** JPEG: the markers of the first image in a file that have a segment. Those inside compressed pixels, and in a segment's content, are none. */
export function* markersOfJpeg(
  view: DataView,
): Generator<{ marker: number; at: number }, void, undefined> {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  // Behind the start of the image.
  for (let at = bytes.indexOf(0xff, 2); at >= 0 && at + 4 <= bytes.length; ) {
    // A filling byte may be the beginning of the marker itself.
    while (bytes[at + 1] === 0xff) at++;
    if (at + 4 > bytes.length) return;
    const marker = bytes[at + 1] as number;
    // A length that such a one had would hide what the decoder reads.
    const isMarker = !isWithoutSegment(marker);
    if (isMarker) yield { marker, at };
    if (marker === END_OF_IMAGE) return;
    at = bytes.indexOf(0xff, at + 2 + (isMarker ? view.getUint16(at + 2) : 0));
  }
}

/** Its name, the length of all that follows, and what it is. */
export const RIFF_HEADER_BYTES = 12;

/** RIFF, as of WebP: chunks of type, length and data, padded to even. One that is cut off ends them. */
export function* chunksOfRiff(
  bytes: Uint8Array,
): Generator<{ type: string; at: number; end: number }, void, undefined> {
  const view = viewOf(bytes);
  if (view.byteLength < RIFF_HEADER_BYTES) return;
  const last = Math.min(view.byteLength, 8 + view.getUint32(4, true));
  for (let at = RIFF_HEADER_BYTES; at + 8 <= last; ) {
    const length = view.getUint32(at + 4, true);
    const end = at + 8 + length + (length % 2);
    if (at + 8 + length > last) return;
    yield { type: typeAt(view, at), at, end };
    at = end;
  }
}

/** Where a frame of a GIF ends, in bytes of the file. */
export type FrameOfGif = { end: number };

const [EXTENSION, IMAGE] = [0x21, 0x2c];

/** GIF: its frames. What is no block of the format ends them, and so does one that is cut off. */
export function* framesOfGifFile(bytes: Uint8Array): Generator<FrameOfGif, void, undefined> {
  /** Bytes of a color table by the flags that say whether there is one. */
  const tableBytes = (flags = 0) => (flags & 0x80 ? 3 << ((flags & 7) + 1) : 0);
  let at = 13 + tableBytes(bytes[10]);
  while (at < bytes.length) {
    const block = bytes[at];
    if (block !== EXTENSION && block !== IMAGE) return;
    // Label of an extension; or place, size, flags and color table of an image, and the width of its first code.
    at += block === EXTENSION ? 2 : 11 + tableBytes(bytes[at + 9]);
    for (let length = bytes[at]; length !== 0; length = bytes[at]) {
      if (length === undefined) return;
      at += 1 + length;
    }
    at++;
    if (block === IMAGE) yield { end: at };
  }
}
