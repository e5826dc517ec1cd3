/** Animations as the decoder takes them: their first frame alone. It would look at all frames, one after the other, each time a file is opened. */
import type { ImageFormat } from '@blip2/shared/image-signatures';
import { chunksOfRiff, type FrameOfGif, framesOfGifFile, RIFF_HEADER_BYTES } from './containers.ts';

/** `frames`: how many the whole file has; 1 for a still image. */
export type FirstFrame = { bytes: Uint8Array; frames: number };

/**
 * What is not as the format has it is left to the decoder to refuse, up to the first frame's end.
 * @example firstFrameOf(bytes, 'gif') // { bytes: …, frames: 12 }
 */
export function firstFrameOf(bytes: Uint8Array, format: ImageFormat): FirstFrame {
  if (format === 'gif') return firstFrameOfGif(bytes);
  return format === 'webp' ? firstFrameOfWebp(bytes) : { bytes, frames: 1 };
}

const GIF_TRAILER = 0x3b;

function firstFrameOfGif(bytes: Uint8Array): FirstFrame {
  let first: FrameOfGif | undefined;
  let frames = 0;
  for (const frame of framesOfGifFile(bytes)) {
    first ??= frame;
    frames++;
  }
  if (first === undefined || frames === 1) return { bytes, frames: 1 };
  const still = Buffer.concat([bytes.subarray(0, first.end), Uint8Array.of(GIF_TRAILER)]);
  return { bytes: still, frames };
}

/** Chunks that decide the pixels of an animation's first frame. */
const WEBP_CHUNKS = new Set(['VP8X', 'ICCP', 'ANIM', 'EXIF']);

function firstFrameOfWebp(bytes: Uint8Array): FirstFrame {
  const pieces: Uint8Array[] = [];
  let frames = 0;
  for (const { type, at, end } of chunksOfRiff(bytes)) {
    const isFrame = type === 'ANMF';
    if (isFrame) frames++;
    // Each of the others once: a second one means nothing, and a million of them cost time.
    if (isFrame ? frames === 1 : WEBP_CHUNKS.has(type) && !has(pieces, type)) {
      pieces.push(bytes.subarray(at, end));
    }
  }
  if (frames <= 1) return { bytes, frames: 1 };
  const header = Uint8Array.from(bytes.subarray(0, RIFF_HEADER_BYTES));
  const still = Buffer.concat([header, ...pieces]);
  still.writeUInt32LE(still.byteLength - 8, 4);
  return { bytes: still, frames };
}

function has(pieces: readonly Uint8Array[], type: string): boolean {
  return pieces.some((piece) => Buffer.from(piece.subarray(0, 4)).toString('latin1') === type);
}
