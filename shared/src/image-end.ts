/** Whether the file of an image is cut off, as far as the parts that it is made of show while its bytes pass: nothing is decoded, and nothing held. */
import { ApiError } from './errors.ts';
import { PassingBytes } from './passing-bytes.ts';

/** Ends when all has come that a decoder needs, and pauses wherever a piece of the file does. */
type Walk = Generator<void, void, void>;

/** A file of more parts is left to the decoder: in the largest image that is accepted, parts of usual sizes are a fifth of them. */
const MAX_STEPS = 1_000_000;

/**
 * It says so of nothing that the decoder takes: what stands behind the pixels may be missing, but for the end of a JPEG. There the decoder notices what
 * is missing by luck, so that it is asked for.
 * @example
 * const end = new ImageEnd();
 * for await (const chunk of file) end.update(chunk);
 * end.isCutOff; // true for the first half of a JPEG
 */
export class ImageEnd {
  readonly #bytes = new PassingBytes(MAX_STEPS);
  readonly #walk: Walk = walk(this.#bytes, (mayEnd) => {
    this.#mayEnd = mayEnd;
  });
  #isOver = false;
  #mayEnd = false;

  /** Once all of the file has passed. */
  get isCutOff(): boolean {
    return !this.#isOver && !this.#mayEnd;
  }

  update(chunk: Uint8Array): void {
    if (this.#isOver) return;
    this.#bytes.pass(chunk);
    this.#isOver = this.#walk.next().done === true || this.#bytes.isExhausted;
  }
}

/** @throws ApiError `invalid-image` for a file that is cut off */
export function expectWhole({ isCutOff }: Pick<ImageEnd, 'isCutOff'>, field: string): void {
  if (!isCutOff) return;
  const detail = 'The image is cut off: the end of its file is missing. Send all of it.';
  throw new ApiError('invalid-image', detail, { field });
}

/** As `ImageEnd` sees it, of a whole file. */
export function endOf(bytes: Uint8Array): ImageEnd {
  const end = new ImageEnd();
  end.update(bytes);
  return end;
}

/** Called with whether a file may end at any place from here on. */
type MayEnd = (mayEnd: boolean) => void;

function* walk(bytes: PassingBytes, mayEnd: MayEnd): Walk {
  const signature = u16At(bytes.take(2) ?? (yield* bytes.taken()), 0);
  if (signature === 0xffd8) yield* walkJpeg(bytes);
  if (signature === 0x8950) yield* walkPng(bytes, mayEnd);
  if (signature === 0x4749) yield* walkGif(bytes);
  if (signature === 0x5249) yield* walkWebp(bytes, mayEnd);
  // AVIF names places in the file, in tables of many kinds: its decoder reads them.
}

const MARKER = 0xff;
const START_OF_SCAN = 0xda;
const END_OF_IMAGE = 0xd9;
/** Markers without a segment. */
const isAlone = (marker: number) => marker < 0x02 || (marker >= 0xd0 && marker <= 0xd8);

/** JPEG: segments, each behind a marker, then pixels, up to the marker of the end. */
function* walkJpeg(bytes: PassingBytes): Walk {
  for (let isInPixels = false; ; ) {
    if (!bytes.find(MARKER)) yield* bytes.found(MARKER);
    let [marker = 0] = bytes.take(1) ?? (yield* bytes.taken());
    // A filling byte may be the beginning of the marker itself.
    while (marker === MARKER) [marker = 0] = bytes.take(1) ?? (yield* bytes.taken());
    if (marker === END_OF_IMAGE) return;
    // What looks like a segment from there on may be damaged pixels, which decoders pass over.
    if (isInPixels || isAlone(marker)) continue;
    isInPixels = marker === START_OF_SCAN;
    const length = u16At(bytes.take(2) ?? (yield* bytes.taken()), 0);
    if (!bytes.skip(Math.max(length - 2, 0))) yield* bytes.skipped();
  }
}

const [IEND, IDAT, ANMF] = [0x49454e44, 0x49444154, 0x414e4d46];

/** PNG: chunks of length, type, data and checksum. Those of pixels must be whole; what follows them may be missing. */
function* walkPng(bytes: PassingBytes, mayEnd: MayEnd): Walk {
  if (!bytes.skip(6)) yield* bytes.skipped();
  for (;;) {
    const head = bytes.take(8) ?? (yield* bytes.taken());
    const type = u32At(head, 4);
    if (type === IEND) return;
    const isPixels = type === IDAT;
    if (isPixels) mayEnd(false);
    if (!bytes.skip(u32At(head, 0) + 4)) yield* bytes.skipped();
    if (isPixels) mayEnd(true);
  }
}

/** GIF: blocks of smaller blocks, up to the end of the first frame. */
function* walkGif(bytes: PassingBytes): Walk {
  const tableBytes = (flags = 0) => (flags & 0x80 ? 3 << ((flags & 7) + 1) : 0);
  if (!bytes.skip(8)) yield* bytes.skipped();
  const [flags] = bytes.take(1) ?? (yield* bytes.taken());
  if (!bytes.skip(2 + tableBytes(flags))) yield* bytes.skipped();
  for (;;) {
    const [block = 0] = bytes.take(1) ?? (yield* bytes.taken());
    const isFrame = block === 0x2c;
    // What is no block of the format is for the decoder.
    if (!isFrame && block !== 0x21) return;
    let headBytes = 1;
    if (isFrame) {
      if (!bytes.skip(8)) yield* bytes.skipped();
      const [local] = bytes.take(1) ?? (yield* bytes.taken());
      // And the width of its first code.
      headBytes = tableBytes(local) + 1;
    }
    if (!bytes.skip(headBytes)) yield* bytes.skipped();
    for (;;) {
      const [length = 0] = bytes.take(1) ?? (yield* bytes.taken());
      if (length === 0) break;
      if (!bytes.skip(length)) yield* bytes.skipped();
    }
    if (isFrame) return;
  }
}

/** WebP: chunks in a file that says how long it is. Of an animation its first frame is enough, where another is whole, too. */
function* walkWebp(bytes: PassingBytes, mayEnd: MayEnd): Walk {
  const size = (bytes.take(6) ?? (yield* bytes.taken())).subarray(2);
  // Its name.
  if (!bytes.skip(4)) yield* bytes.skipped();
  let left = littleU32At(size, 0) - 4;
  for (let frames = 0; left >= 8; ) {
    const head = bytes.take(8) ?? (yield* bytes.taken());
    const length = littleU32At(head, 4);
    const isFrame = u32At(head, 0) === ANMF;
    const content = Math.min(length + (length % 2), left - 8);
    if (!bytes.skip(content)) yield* bytes.skipped();
    left -= 8 + content;
    if (isFrame && ++frames === 2) mayEnd(true);
  }
  if (!bytes.skip(Math.max(left, 0))) yield* bytes.skipped();
}

function byteAt(bytes: Uint8Array, at: number): number {
  return bytes[at] as number;
}

function u16At(bytes: Uint8Array, at: number): number {
  return byteAt(bytes, at) * 2 ** 8 + byteAt(bytes, at + 1);
}

function u32At(bytes: Uint8Array, at: number): number {
  return u16At(bytes, at) * 2 ** 16 + u16At(bytes, at + 2);
}

function littleU32At(bytes: Uint8Array, at: number): number {
  const low = byteAt(bytes, at) + byteAt(bytes, at + 1) * 2 ** 8;
  return low + (byteAt(bytes, at + 2) + byteAt(bytes, at + 3) * 2 ** 8) * 2 ** 16;
}
