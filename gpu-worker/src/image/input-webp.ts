/** WebP as the decoder takes it: the chunks that decide its pixels. */
import { chunksOfRiff, RIFF_HEADER_BYTES, viewOf } from './containers.ts';
import { orientationOf } from './exif.ts';
import { type DecoderInput, Kinds, Pieces } from './pieces.ts';

const PIXELS = new Set(['VP8X', 'ICCP', 'ANIM', 'ANMF', 'ALPH', 'VP8 ', 'VP8L']);

export function strippedWebp(bytes: Uint8Array): DecoderInput {
  if (bytes.length < RIFF_HEADER_BYTES) return { bytes, exifBytes: 0 };
  const pieces = new Pieces(bytes);
  const kinds = new Kinds();
  let exif: Uint8Array | undefined;
  let last = RIFF_HEADER_BYTES;
  pieces.keep(0, last);
  for (const { type, at, end } of chunksOfRiff(bytes)) {
    // The padding of the last one may be missing.
    last = Math.min(end, bytes.length);
    if (PIXELS.has(type) && kinds.isNew(type)) pieces.keep(at, last);
    if (type !== 'EXIF' || exif !== undefined) continue;
    exif = contentOf(bytes, at);
    const orientation = orientationOf(exif);
    if (orientation !== undefined) pieces.add(chunkOf('EXIF', orientation));
  }
  // What is cut off is for the decoder to refuse, and so is a file that is shorter than it says.
  if (last < bytes.length) pieces.keep(last, bytes.length);
  const stripped = new Uint8Array(pieces.joined());
  const size = viewOf(bytes).getUint32(4, true) - bytes.length + stripped.length;
  viewOf(stripped).setUint32(4, Math.max(size, 0), true);
  return { bytes: stripped, exifBytes: exif?.byteLength ?? 0 };
}

function contentOf(bytes: Uint8Array, at: number): Uint8Array {
  return bytes.subarray(at + 8, at + 8 + viewOf(bytes).getUint32(at + 4, true));
}

/** Type, length and data, padded to even. */
function chunkOf(type: string, data: Uint8Array): Uint8Array {
  const chunk = Buffer.alloc(8 + data.length + (data.length % 2));
  chunk.write(type, 'latin1');
  chunk.writeUInt32LE(data.length, 4);
  chunk.set(data, 8);
  return chunk;
}
