/** Who reads a body, between its pieces: it counts as slow only while it is waited for, and the body breaks off where it has stopped. */

export type Reading = {
  /** Milliseconds after which a reader that reads nothing more gets nothing more: the body breaks off. */
  stalledMs?: number;
  /** Called at each piece that is asked for, and when it is there. */
  onPiece?: () => void;
  /**
   * Called when the reader is waited for: it has a piece of so many bytes, or none yet, and asks for the next when `asked` resolves.
   * Where what this returns is rejected, the body breaks off.
   */
  whileRead?: (bytes: number, asked: Promise<void>) => Promise<void>;
  /** Called once, however it ends. */
  onEnd?: () => void;
};

export class WaitedReader {
  readonly #reading: Reading;
  readonly #onBreak: (reason: unknown) => void;
  #isOver = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #asks = () => {};

  /** @param onBreak called once where it reads no more, after `onEnd` */
  constructor(reading: Reading, onBreak: (reason: unknown) => void) {
    this.#reading = reading;
    this.#onBreak = onBreak;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** It asks for a piece. */
  asks(): void {
    this.#goOn();
    this.#reading.onPiece?.();
  }

  /** It has one, of so many bytes, or none yet. */
  has(bytes: number): void {
    if (this.#isOver) return;
    const { stalledMs, onPiece, whileRead } = this.#reading;
    if (bytes > 0) onPiece?.();
    const asked = Promise.withResolvers<void>();
    this.#asks = asked.resolve;
    whileRead?.(bytes, asked.promise).catch((reason: unknown) => this.#breakOff(reason));
    if (stalledMs === undefined) return;
    const stopped = () => this.#breakOff(new Error('the reader has stopped reading'));
    this.#timer = setTimeout(stopped, stalledMs);
  }

  /** May be called more than once. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#goOn();
    this.#reading.onEnd?.();
  }

  #goOn(): void {
    clearTimeout(this.#timer);
    this.#asks();
  }

  #breakOff(reason: unknown): void {
    if (this.#isOver) return;
    this.end();
    this.#onBreak(reason);
  }
}
