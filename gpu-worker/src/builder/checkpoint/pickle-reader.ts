/** The bytes of a pickle, read piece by piece. */

/** The pickle is damaged, or asks for more than data; the message says which. */
export class PickleError extends Error {
  override readonly name = 'PickleError';
}

/** The pickle goes on behind the bytes that were given. */
export class PickleCutOff extends PickleError {}

/** Longest whole number, bytes: torch's magic number has ten. */
const MAX_LONG_BYTES = 32;

export class PickleReader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, start: number) {
    this.#bytes = bytes;
    this.#at = start;
  }

  /** Where the next piece begins. */
  get position(): number {
    return this.#at;
  }

  take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new PickleCutOff('The pickle is cut off.');
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }

  uint(length: 1 | 2 | 4): number {
    return this.take(length).readUIntLE(0, length);
  }

  text(length: number): string {
    return this.take(length).toString('utf8');
  }

  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0) throw new PickleCutOff('The pickle is cut off.');
    const text = this.text(end - this.#at);
    this.#at = end + 1;
    return text;
  }

  /** A whole number of two's complement, little-endian. */
  long(length: number): number | bigint {
    if (length > MAX_LONG_BYTES) throw damaged(`it has a number of ${length} bytes`);
    const digits = this.take(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(digits[i]!);
    const signed = BigInt.asIntN(8 * Math.max(length, 1), value);
    const number = Number(signed);
    return Number.isSafeInteger(number) ? number : signed;
  }
}

export function damaged(why: string): PickleError {
  return new PickleError(`its pickle is damaged: ${why}`);
}
