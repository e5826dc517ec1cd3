/** Bytes of a file that come in pieces, for a walk over its parts: within a piece nothing is copied and no walk pauses. */

const NOTHING = new Uint8Array();

/** Until more bytes have come; then as many as were asked for, or none. */
type Pause<Result> = Generator<void, Result, void>;

/**
 * Each question is answered at once where the piece has enough. Where it does not, the walk goes on in the generator beside it.
 * @example
 * const head = bytes.take(8) ?? (yield* bytes.taken());
 * if (!bytes.skip(length)) yield* bytes.skipped();
 */
export class PassingBytes {
  readonly #maxSteps: number;
  #steps = 0;
  #piece: Uint8Array = NOTHING;
  #at = 0;
  /** Bytes that the last question left open. */
  #wanted = 0;

  /** @param maxSteps questions that may be asked */
  constructor(maxSteps: number) {
    this.#maxSteps = maxSteps;
  }

  /** Whether more was asked than may be: the walk is not to go on. */
  get isExhausted(): boolean {
    return this.#steps > this.#maxSteps;
  }

  /** The next piece, behind one of which nothing is left. */
  pass(piece: Uint8Array): void {
    this.#piece = piece;
    this.#at = 0;
  }

  /** @returns a view of the next bytes, undefined where they are not all in this piece */
  take(count: number): Uint8Array | undefined {
    const end = this.#at + count;
    if (++this.#steps <= this.#maxSteps && end <= this.#piece.length) {
      const taken = this.#piece.subarray(this.#at, end);
      this.#at = end;
      return taken;
    }
    this.#wanted = count;
    return undefined;
  }

  *taken(): Pause<Uint8Array> {
    const taken = new Uint8Array(this.#wanted);
    for (;;) {
      if (this.isExhausted) yield;
      const part = this.#piece.subarray(this.#at, this.#at + this.#wanted);
      taken.set(part, taken.length - this.#wanted);
      this.#at += part.length;
      this.#wanted -= part.length;
      if (this.#wanted === 0) return taken;
      yield;
    }
  }

  /** @returns whether so many bytes are passed already */
  skip(count: number): boolean {
    this.#wanted = count;
    return ++this.#steps <= this.#maxSteps && this.#hasSkipped();
  }

  *skipped(): Pause<void> {
    do yield;
    while (!this.#hasSkipped());
  }

  #hasSkipped(): boolean {
    const skipped = Math.min(this.#wanted, this.#piece.length - this.#at);
    this.#at += skipped;
    this.#wanted -= skipped;
    return this.#wanted === 0;
  }

  /** @returns whether all up to and with such a byte is passed already */
  find(byte: number): boolean {
    return ++this.#steps <= this.#maxSteps && this.#hasFound(byte);
  }

  *found(byte: number): Pause<void> {
    do yield;
    while (!this.#hasFound(byte));
  }

  #hasFound(byte: number): boolean {
    const found = this.#piece.indexOf(byte, this.#at);
    this.#at = found < 0 ? this.#piece.length : found + 1;
    return found >= 0;
  }
}
