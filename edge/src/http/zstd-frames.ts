/** The frames of zstd (RFC 8878, 3.1), walked without decoding: workerd's decoder takes what is cut off for whole, and one frame for all. */
import { ApiError } from '@blip2/shared/errors';

const MAGIC = 0xfd2fb528;
/** The magic numbers of frames to skip, without their last four bits. */
const SKIPPABLE_MAGIC = 0x184d2a5;
const RUN_LENGTH = 1;
/** Each takes a decoder of its own, and has nine bytes; those who compress in parallel have one for megabytes. */
const FREE_FRAMES = 32;
const BYTES_OF_FRAME = 2 ** 16;

/** Frames that a body may have. @param bytes as they were sent */
export function mostFrames(bytes: number): number {
  return FREE_FRAMES + Math.floor(bytes / BYTES_OF_FRAME);
}

/**
 * The frames that have content, or null where the last one does not end where the bytes do.
 * @param most of them
 * @throws ApiError `invalid-content-encoding` for more
 * @example framesOf(new Uint8Array([...frame, ...otherFrame]), 9) // [frame, otherFrame]
 */
export function framesOf(bytes: Uint8Array, most: number): Uint8Array[] | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const frames: Uint8Array[] = [];
  try {
    for (let start = 0; start < bytes.length || start === 0; ) {
      const end = endOfFrame(view, start);
      if (end > bytes.length) return null;
      if (!isSkippable(view, start)) frames.push(bytes.subarray(start, end));
      if (frames.length > most) throw tooMany(most);
      start = end;
    }
  } catch (error) {
    // Beyond the end.
    if (error instanceof RangeError) return null;
    throw error;
  }
  return frames;
}

function tooMany(limit: number): ApiError {
  const detail = `The body has more than ${limit} frames of zstd: compress it as one.`;
  return new ApiError('invalid-content-encoding', detail, { limit });
}

function isSkippable(view: DataView, start: number): boolean {
  return view.getUint32(start, true) >>> 4 === SKIPPABLE_MAGIC;
}

/** @throws RangeError when the frame is cut off, or is none */
function endOfFrame(view: DataView, start: number): number {
  if (isSkippable(view, start)) return start + 8 + view.getUint32(start + 4, true);
  if (view.getUint32(start, true) !== MAGIC) throw new RangeError('no frame');
  const descriptor = view.getUint8(start + 4);
  const hasChecksum = (descriptor & 4) !== 0;
  let at = start + 5 + headerFieldBytes(descriptor);
  for (;;) {
    const header = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    const isLast = (header & 1) === 1;
    const type = (header >> 1) & 3;
    at += 3 + (type === RUN_LENGTH ? 1 : header >>> 3);
    if (isLast) return at + (hasChecksum ? 4 : 0);
  }
}

/** Bytes of window descriptor, dictionary's id and content's size. */
function headerFieldBytes(descriptor: number): number {
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const dictionary = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const content = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  return (isSingleSegment ? 0 : 1) + dictionary + content;
}
