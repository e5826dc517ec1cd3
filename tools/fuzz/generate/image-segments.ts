/** The parts that files of images are made of, by format: chunks, segments, blocks, boxes. */
import { crc32 } from 'node:zlib';

export type ImageKind = 'png' | 'jpeg' | 'webp' | 'gif' | 'avif';

/** Bytes of the parts in their order; together they are the file. */
export function segmentsOf(kind: ImageKind, bytes: Uint8Array): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (kind) {
    case 'png':
      return split(bytes, 8, (at) => 12 + view.getUint32(at));
    case 'webp':
      return split(
        bytes,
        12,
        (at) => 8 + view.getUint32(at + 4, true) + (view.getUint8(at + 4) & 1),
      );
    case 'avif':
      return split(bytes, 0, (at) => Math.max(8, view.getUint32(at)));
    case 'jpeg':
      // What follows the start of a scan, to the end, is one part.
      return split(bytes, 2, (at) =>
        view.getUint8(at + 1) === 0xda ? bytes.length : 2 + view.getUint16(at + 2),
      );
    case 'gif':
      return [bytes.subarray(0, 6), bytes.subarray(6, 13), ...gifBlocks(bytes.subarray(13))];
  }
}

function split(bytes: Uint8Array, start: number, lengthAt: (at: number) => number): Uint8Array[] {
  const parts = [bytes.subarray(0, start)];
  let at = start;
  while (at + 8 <= bytes.length) {
    const end = Math.min(bytes.length, at + lengthAt(at));
    parts.push(bytes.subarray(at, end));
    at = end;
  }
  return at < bytes.length ? [...parts, bytes.subarray(at)] : parts;
}

/** Blocks of at most so many bytes: to know where they end is to decode them. */
function gifBlocks(bytes: Uint8Array): Uint8Array[] {
  const size = 97;
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
    bytes.subarray(i * size, (i + 1) * size),
  );
}

/** The file of PNG chunks whose checksums are right, whatever was changed in them. */
export function withChecksums(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const parts = segmentsOf('png', bytes).map((part, i) => {
    if (i === 0 || part.length < 12) return part;
    const fixed = Buffer.from(part);
    fixed.writeUInt32BE(crc32(fixed.subarray(4, -4)), fixed.length - 4);
    return fixed;
  });
  return new Uint8Array(Buffer.concat(parts));
}

/** The same file with another size in its header; the pixels stay as they are. */
export function withSize(
  kind: ImageKind,
  bytes: Uint8Array,
  width: number,
  height: number,
): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(bytes);
  const view = new DataView(copy.buffer);
  const find = (...codes: number[]) =>
    copy.findIndex((_, at) => codes.every((code, i) => copy[at + i] === code));
  const ascii = (text: string) => find(...Buffer.from(text));
  switch (kind) {
    case 'png':
      view.setUint32(16, width);
      view.setUint32(20, height);
      return withChecksums(copy);
    case 'gif':
      view.setUint16(6, width, true);
      view.setUint16(8, height, true);
      return copy;
    case 'jpeg': {
      const at = [0xc0, 0xc1, 0xc2].map((marker) => find(0xff, marker)).find((found) => found > 0);
      if (at === undefined) return copy;
      view.setUint16(at + 5, height);
      view.setUint16(at + 7, width);
      return copy;
    }
    case 'webp': {
      const [extended, lossy, lossless] = [ascii('VP8X'), ascii('VP8 '), ascii('VP8L')];
      if (extended > 0) {
        view.setUint32(
          extended + 12,
          ((width - 1) & 0xff_ffff) | (((height - 1) & 0xff) << 24),
          true,
        );
        view.setUint16(extended + 16, ((height - 1) >> 8) & 0xffff, true);
      }
      if (lossy > 0) {
        view.setUint16(lossy + 14, width & 0x3fff, true);
        view.setUint16(lossy + 16, height & 0x3fff, true);
      }
      if (lossless > 0) {
        view.setUint32(
          lossless + 9,
          ((width - 1) & 0x3fff) | (((height - 1) & 0x3fff) << 14),
          true,
        );
      }
      return copy;
    }
    case 'avif': {
      const at = ascii('ispe');
      if (at < 0) return copy;
      view.setUint32(at + 8, width);
      view.setUint32(at + 12, height);
      return copy;
    }
  }
}
