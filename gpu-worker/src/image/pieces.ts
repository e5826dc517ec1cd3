/** A file from pieces of another one, of which there may be a million. */

/** A file as the decoder takes it. `exifBytes`: those of its own EXIF, where one place of the file has it. */
export type DecoderInput = { bytes: Uint8Array; exifBytes: number };

/** @example
 * const pieces = new Pieces(file);
 * pieces.keep(0, 33);
 * pieces.add(chunk);
 * pieces.keep(80, file.length);
 * pieces.joined(); // the file with a chunk in place of another
 */
export class Pieces {
  readonly #file: Uint8Array;
  /** Ranges of the file that follow each other are one. */
  readonly #pieces: { bytes: Uint8Array; from: number; to: number }[] = [];
  #length = 0;

  constructor(file: Uint8Array) {
    this.#file = file;
  }

  get length(): number {
    return this.#length;
  }

  /** A range of the file. */
  keep(from: number, to: number): void {
    this.#length += to - from;
    const last = this.#pieces.at(-1);
    if (last?.bytes === this.#file && last.to === from) last.to = to;
    else this.#pieces.push({ bytes: this.#file, from, to });
  }

  /** Bytes that are not the file's. */
  add(bytes: Uint8Array): void {
    this.#length += bytes.length;
    this.#pieces.push({ bytes, from: 0, to: bytes.length });
  }

  /** @returns the file itself where nothing was left out */
  joined(): Uint8Array {
    const [first] = this.#pieces;
    const isWhole = this.#pieces.length === 1 && first?.bytes === this.#file;
    if (isWhole && first.from === 0 && first.to === this.#file.length) return this.#file;
    const whole = new Uint8Array(this.length);
    let at = 0;
    for (const { bytes, from, to } of this.#pieces) {
      whole.set(bytes.subarray(from, to), at);
      at += to - from;
    }
    return whole;
  }
}

/** Counts parts by their kind. */
export class Kinds {
  readonly #counts = new Map<string, number>();

  /** Whether there is a use for another of the kind: whatever the second one means, further ones mean it as well. */
  isNew(kind: string): boolean {
    const count = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, count);
    return count <= 2;
  }
}
