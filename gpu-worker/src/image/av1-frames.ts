/** Frames of an AV1 bitstream: an image has one, and decoders decode all that are there. */

const [FRAME_HEADER, FRAME] = [3, 6];
/** A part takes a byte; an image has some for each of its tiles, of which there are 4096 at most. */
const MOST_PARTS = 10_000;

/**
 * By the headers of its parts ("open bitstream units", AV1 specification, 5.3). What is damaged ends them.
 * @returns Number.MAX_SAFE_INTEGER where there are more parts than any image has
 * @example framesOfAv1(bytesOfItem) // 1
 */
export function framesOfAv1(bytes: Uint8Array): number {
  let frames = 0;
  let parts = 0;
  for (let at = 0; at < bytes.length; ) {
    const header = bytes[at] as number;
    // Decoders pass over zeros.
    if (header === 0) {
      at++;
      continue;
    }
    if (++parts > MOST_PARTS) return Number.MAX_SAFE_INTEGER;
    const [type, hasExtension, hasSize] = [(header >> 3) & 15, header & 4, header & 2];
    if (type === FRAME_HEADER || type === FRAME) frames++;
    at += hasExtension ? 2 : 1;
    // Without a size it is all that follows.
    if (!hasSize) break;
    let size = 0;
    for (let i = 0; i < 8; i++) {
      const byte = bytes[at++] ?? 0;
      size += (byte & 127) * 2 ** (7 * i);
      if (byte < 128) break;
    }
    at += size;
  }
  return frames;
}
