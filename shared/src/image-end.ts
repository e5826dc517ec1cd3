/** Whether the file of an image is cut off, as far as the parts that it is made of show while its bytes pass: nothing is decoded, and nothing held. */
import { ApiError } from './errors.ts';

/** What a walk over a file wants next: so many bytes to look at, to pass over so many, or all up to a byte. */
type Wish =
  | { kind: 'take'; bytes: number }
  | { kind: 'skip'; bytes: number }
  | { kind: 'until'; byte: number };
/** Ends when all has come that a decoder needs. */
type Walk = Generator<Wish, void, Uint8Array>;

const take = (bytes: number): Wish => ({ kind: 'take', bytes });
const skip = (bytes: number): Wish => ({ kind: 'skip', bytes });
const until = (byte: number): Wish => ({ kind: 'until', byte });

/** A file of more parts is left to the decoder: in the largest image that is accepted, parts of usual sizes are a fifth of them. */
const MAX_STEPS = 1_000_000;
const NOTHING = new Uint8Array();

/**
 * It says so of nothing that the decoder takes: what stands behind the pixels may be missing, but for the end of a JPEG. There the decoder notices what
 * is missing by luck, so that it is asked for.
 * @example
 * const end = new ImageEnd();
 * for await (const chunk of file) end.update(chunk);
 * end.isCutOff; // true for the first half of a JPEG
 */
export class ImageEnd {
  readonly #walk: Walk = walk((mayEnd) => {
    this.#mayEnd = mayEnd;
  });
  #wish: Wish | undefined;
  /** What has come of the bytes to look at. */
  #taken = NOTHING;
  #steps = 0;
  #mayEnd = false;

  constructor() {
    this.#next(NOTHING);
  }

  /** Once all of the file has passed. */
  get isCutOff(): boolean {
    return this.#wish !== undefined && !this.#mayEnd;
  }

  update(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length && this.#wish !== undefined; ) {
      const wish = this.#wish;
      if (wish.kind === 'until') {
        const found = chunk.indexOf(wish.byte, at);
        if (found < 0) return;
        at = found + 1;
        this.#next(NOTHING);
        continue;
      }
      const piece = chunk.subarray(at, at + wish.bytes);
      at += piece.length;
      wish.bytes -= piece.length;
      if (wish.kind === 'take') this.#taken = joined(this.#taken, piece);
      if (wish.bytes > 0) continue;
      const taken = this.#taken;
      this.#taken = NOTHING;
      this.#next(taken);
    }
  }

  #next(taken: Uint8Array): void {
    do {
      const { value, done } = this.#walk.next(taken);
      this.#wish = done || ++this.#steps > MAX_STEPS ? undefined : value;
    } while (this.#wish?.kind === 'skip' && this.#wish.bytes === 0);
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

function joined(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

/** Called with whether a file may end at any place from here on. */
type MayEnd = (mayEnd: boolean) => void;

function* walk(mayEnd: MayEnd): Walk {
  const signature = viewOf(yield take(2)).getUint16(0);
  if (signature === 0xffd8) yield* walkJpeg();
  if (signature === 0x8950) yield* walkPng(mayEnd);
  if (signature === 0x4749) yield* walkGif();
  if (signature === 0x5249) yield* walkWebp(mayEnd);
  // AVIF names places in the file, in tables of many kinds: its decoder reads them.
}

const MARKER = 0xff;
const START_OF_SCAN = 0xda;
const END_OF_IMAGE = 0xd9;
/** Markers without a segment. */
const isAlone = (marker: number) => marker < 0x02 || (marker >= 0xd0 && marker <= 0xd8);

/** JPEG: segments, each behind a marker, then pixels, up to the marker of the end. */
function* walkJpeg(): Walk {
  for (let isInPixels = false; ; ) {
    yield until(MARKER);
    let [marker = 0] = yield take(1);
    // A filling byte may be the beginning of the marker itself.
    while (marker === MARKER) [marker = 0] = yield take(1);
    if (marker === END_OF_IMAGE) return;
    // What looks like a segment from there on may be damaged pixels, which decoders pass over.
    if (isInPixels || isAlone(marker)) continue;
    isInPixels = marker === START_OF_SCAN;
    yield skip(Math.max(viewOf(yield take(2)).getUint16(0) - 2, 0));
  }
}

/** PNG: chunks of length, type, data and checksum. Those of pixels must be whole; what follows them may be missing. */
function* walkPng(mayEnd: MayEnd): Walk {
  yield skip(6);
  for (;;) {
    const head = yield take(8);
    const type = typeAt(head, 4);
    if (type === 'IEND') return;
    const isPixels = type === 'IDAT';
    if (isPixels) mayEnd(false);
    yield skip(viewOf(head).getUint32(0) + 4);
    if (isPixels) mayEnd(true);
  }
}

/** GIF: blocks of smaller blocks, up to the end of the first frame. */
function* walkGif(): Walk {
  const tableBytes = (flags = 0) => (flags & 0x80 ? 3 << ((flags & 7) + 1) : 0);
  yield skip(8);
  const [flags] = yield take(1);
  yield skip(2 + tableBytes(flags));
  for (;;) {
    const [block = 0] = yield take(1);
    const isFrame = block === 0x2c;
    // What is no block of the format is for the decoder.
    if (!isFrame && block !== 0x21) return;
    if (isFrame) {
      yield skip(8);
      const [local] = yield take(1);
      // And the width of its first code.
      yield skip(tableBytes(local) + 1);
    } else yield skip(1);
    for (let [length = 0] = yield take(1); length > 0; [length = 0] = yield take(1)) {
      yield skip(length);
    }
    if (isFrame) return;
  }
}

/** WebP: chunks in a file that says how long it is. Of an animation its first frame is enough, where another is whole, too. */
function* walkWebp(mayEnd: MayEnd): Walk {
  let left = viewOf((yield take(6)).subarray(2)).getUint32(0, true);
  // Its name.
  yield skip(4);
  left -= 4;
  for (let frames = 0; left >= 8; ) {
    const head = yield take(8);
    const length = viewOf(head).getUint32(4, true);
    const bytes = Math.min(length + (length % 2), left - 8);
    yield skip(bytes);
    left -= 8 + bytes;
    if (typeAt(head, 0) === 'ANMF' && ++frames === 2) mayEnd(true);
  }
  yield skip(Math.max(left, 0));
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

function typeAt(bytes: Uint8Array, at: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + 4));
}
