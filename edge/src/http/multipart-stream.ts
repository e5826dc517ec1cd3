/**
 * Parses multipart/form-data as it comes, for files that do not fit into memory: a part is read before the next one is
 * looked for, and no more of it is held than one chunk.
 */
import { Buffer } from 'node:buffer';
import {
  delimiterOf,
  invalid,
  MAX_HEADER_BYTES,
  MAX_PARTS,
  noHeaders,
  type PartHead,
  partHead,
  splitHeaders,
} from './multipart.ts';

/** One part. Its bytes can be read once, before the next part is asked for. */
export type StreamedPart = PartHead & { body: AsyncIterable<Uint8Array> };

/** White space that a line with the boundary may end in. */
const MAX_PADDING = 64;
const LF = 0x0a;
const CR = 0x0d;

/**
 * The parts of a body, in their order. What nobody has read of a part is skipped.
 * @param boundary as `Content-Type` names it
 * @throws ApiError `invalid-multipart` that says what is wrong, and in which part
 * @example
 * for await (const { name, body } of streamParts(request.body, boundary)) {
 *   if (name === 'file') for await (const chunk of body) await file.write(chunk);
 * }
 */
export async function* streamParts(
  source: AsyncIterable<Uint8Array>,
  boundary: string | undefined,
): AsyncGenerator<StreamedPart, void, undefined> {
  const text = new Text(source, delimiterOf(boundary));
  try {
    for await (const _preamble of text.untilDelimiter());
    if (!text.isAtDelimiter) {
      throw invalid('The body has no line with the boundary of Content-Type.');
    }
    for (let number = 1; !text.isAtEnd; number++) {
      if (number > MAX_PARTS) {
        const limits = { limit: MAX_PARTS, actual: number };
        throw invalid(`There are more than ${MAX_PARTS} parts.`, limits);
      }
      const headers = await text.readHeaders(number);
      const encoding = headers.get('content-transfer-encoding')?.trim() ?? '';
      if (!/^(binary|8bit|7bit)?$/i.test(encoding)) {
        throw invalid(`Part ${number} is encoded, which is not read here: send its bytes.`);
      }
      const body = text.untilDelimiter();
      yield { ...partHead(headers, number), body };
      for await (const _rest of body);
      if (!text.isAtDelimiter) {
        throw invalid(`The body is cut off: part ${number} does not end in a boundary.`);
      }
    }
    await text.skipRest();
  } finally {
    await text.close();
  }
}

/** A body of which a chunk at a time is in memory. It begins, and is wherever a part begins, behind a line break. */
class Text {
  readonly #source: AsyncIterator<Uint8Array>;
  /** With the line break before it. */
  readonly #needle: Buffer;
  /** What has come and was not used. */
  #bytes = Buffer.from('\n');
  /** Whether the first of these bytes was used before: it may be the line break before a delimiter. */
  #isUsed = true;
  #hasEnded = false;
  readonly #seen = noHeaders();
  /** Whether the last thing read was a delimiter. */
  isAtDelimiter = false;
  /** Whether it was the last one. */
  isAtEnd = false;

  constructor(source: AsyncIterable<Uint8Array>, delimiter: Uint8Array) {
    this.#source = source[Symbol.asyncIterator]();
    this.#needle = Buffer.concat([Buffer.from('\n'), delimiter]);
  }

  async #more(): Promise<boolean> {
    const next = this.#hasEnded ? ({ done: true } as const) : await this.#source.next();
    if (next.done) {
      this.#hasEnded = true;
      return false;
    }
    this.#bytes = Buffer.concat([this.#bytes, next.value]);
    return true;
  }

  /** Reads to the end: whoever takes the digest of a body needs all of it. */
  async skipRest(): Promise<void> {
    while (!(await this.#source.next()).done);
    this.#hasEnded = true;
  }

  /** All bytes before the next delimiter, or to the end where there is none. */
  async *untilDelimiter(): AsyncGenerator<Uint8Array, void, undefined> {
    this.isAtDelimiter = false;
    let from = 0;
    for (;;) {
      const at = this.#bytes.indexOf(this.#needle, from);
      const line = at === -1 ? undefined : this.#endOfLine(at + this.#needle.length);
      if (typeof line === 'object') {
        const end = this.#bytes[at - 1] === CR ? at - 1 : at;
        const last = this.#take(end);
        this.#bytes = this.#bytes.subarray(line.next - end);
        this.#isUsed = true;
        this.isAtDelimiter = true;
        this.isAtEnd = line.isLast;
        if (last.length > 0) yield last;
        return;
      }
      if (line === 'none') {
        from = at + 1;
        continue;
      }
      // What may be the beginning of a delimiter, with the line break before it, waits for what comes.
      const safe = (at === -1 ? this.#bytes.length - this.#needle.length : at) - 1;
      from = 0;
      if (safe > 0) {
        const chunk = this.#take(safe);
        if (chunk.length > 0) yield chunk;
      }
      if (!(await this.#more())) {
        const rest = this.#take(this.#bytes.length);
        if (rest.length > 0) yield rest;
        return;
      }
    }
  }

  /** Where the line of a delimiter ends, whether it ends at all, or that more must come to know. */
  #endOfLine(from: number): { next: number; isLast: boolean } | 'none' | 'unknown' {
    const text = this.#bytes.toString('latin1', from, from + MAX_PADDING);
    if (text.startsWith('--')) return { next: this.#bytes.length, isLast: true };
    const [whole] = /^[ \t]*\r?\n/.exec(text) ?? [];
    // The line break stays: another delimiter may follow it.
    if (whole !== undefined) return { next: from + whole.length - 1, isLast: false };
    const mayGoOn = text.length < MAX_PADDING && /^(-|[ \t]*\r?)$/.test(text);
    return mayGoOn && !this.#hasEnded ? 'unknown' : 'none';
  }

  /** The first bytes, without the one that was used before. */
  #take(end: number): Uint8Array {
    const taken = this.#bytes.subarray(this.#isUsed ? Math.min(1, end) : 0, end);
    this.#bytes = this.#bytes.subarray(end);
    if (end > 0) this.#isUsed = false;
    return taken;
  }

  /** The headers of a part; then what is next is the last line break of them. */
  async readHeaders(number: number): Promise<ReadonlyMap<string, string>> {
    let end = this.#endOfHeaders();
    while (end === -1 && this.#bytes.length <= MAX_HEADER_BYTES && (await this.#more())) {
      end = this.#endOfHeaders();
    }
    const held = this.#bytes.subarray(1, end === -1 ? MAX_HEADER_BYTES + 2 : end + 1);
    const { headers } = splitHeaders(new Uint8Array(held), number, this.#seen);
    this.#bytes = this.#bytes.subarray(end === -1 ? held.length : end);
    this.#isUsed = true;
    return headers;
  }

  /** Index of the line break of the empty line that ends headers, or -1. */
  #endOfHeaders(): number {
    for (let at = 0; at !== -1; at = this.#bytes.indexOf(LF, at + 1)) {
      if (this.#bytes[at + 1] === LF) return at + 1;
      if (this.#bytes[at + 1] === CR && this.#bytes[at + 2] === LF) return at + 2;
    }
    return -1;
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }
}
