/** PNG as the decoder takes it: the chunks that decide its pixels, with the orientation before them. */
import { crc32 } from 'node:zlib';
import { chunksOfPng, viewOf } from './containers.ts';
import { orientationOf } from './exif.ts';
import { type DecoderInput, Kinds, Pieces } from './pieces.ts';

/**
 * The decoder reads EXIF before the pixels alone, and some programs that turn an image by its EXIF write that at the end, as they may. Texts and
 * profiles, which may be a thousand times as large once they are inflated, palettes by the thousand, and the frames of an animation behind the
 * first never reach it.
 */
export function strippedPng(bytes: Uint8Array): DecoderInput {
  const before = new Pieces(bytes);
  const pixels = new Pieces(bytes);
  const kinds = new Kinds();
  let exif: Uint8Array | undefined;
  let last = SIGNATURE_BYTES;
  before.keep(0, last);
  for (const { at, type, end } of chunksOfPng(viewOf(bytes))) {
    last = end;
    const isPixels = type === 'IDAT';
    if (type === 'eXIf') exif ??= bytes.subarray(at + 8, end - 4);
    else if (isPixels || ((isCritical(type) || type === 'tRNS') && kinds.isNew(type))) {
      (isPixels || pixels.length > 0 ? pixels : before).keep(at, end);
    }
    if (type === 'IEND') break;
  }
  // What is cut off is for the decoder to refuse.
  if (last < bytes.length) pixels.keep(last, bytes.length);
  const orientation = exif && orientationOf(exif);
  if (orientation !== undefined) before.add(chunkOf('eXIf', orientation));
  return {
    bytes: Buffer.concat([before.joined(), pixels.joined()]),
    exifBytes: exif?.byteLength ?? 0,
  };
}

const SIGNATURE_BYTES = 8;

/** A decoder may not pass over a chunk whose type begins with a capital letter. */
const isCritical = (type: string) => type < 'a';

/** Length, type, data and checksum. */
function chunkOf(type: string, data: Uint8Array): Uint8Array {
  const chunk = Buffer.alloc(12 + data.length);
  chunk.writeUInt32BE(data.length);
  chunk.write(type, 4, 'latin1');
  chunk.set(data, 8);
  chunk.writeUInt32BE(crc32(chunk.subarray(4, 8 + data.length)), 8 + data.length);
  return chunk;
}
