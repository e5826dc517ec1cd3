/** The frames of zstd (RFC 8878, 3.1), walked without decoding: workerd's decoder takes what is cut off for whole, and one frame for all. */

const MAGIC = 0xfd2fb528;
/** The magic numbers of frames to skip, without their last four bits. */
const SKIPPABLE_MAGIC = 0x184d2a5;
const RUN_LENGTH = 1;
/** Each takes a decoder of its own; those who compress in parallel have one for megabytes. */
const MAX_FRAMES = 1000;

/**
 * The frames that have content, or null where the last one does not end where the bytes do, or there are too many.
 * @example framesOf(new Uint8Array([...frame, ...otherFrame])) // [frame, otherFrame]
 */
export function framesOf(bytes: Uint8Array): Uint8Array[] | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const frames: Uint8Array[] = [];
  try {
    for (let start = 0; start < bytes.length || start === 0; ) {
      const end = endOfFrame(view, start);
      if (end > bytes.length || frames.length === MAX_FRAMES) return null;
      if (!isSkippable(view, start)) frames.push(bytes.subarray(start, end));
      start = end;
    }
  } catch (error) {
    // Beyond the end.
    if (error instanceof RangeError) return null;
    throw error;
  }
  return frames;
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
