/** Lines of an object in the bucket from a place on, a range of it after the other: memory holds one, and a line that is under way. */
import { Buffer } from 'node:buffer';

/** A line without its end, and where the next one begins; null for one that is too long, which is not held. */
export type BucketLine = { text: string | null; bytes: number; next: number };

const NEWLINE = 0x0a;

export type LinesOptions = {
  /** Where a line begins, bytes. */
  offset: number;
  /** Of one line. */
  maxBytes: number;
  /** Bytes that are read at a time. */
  rangeBytes: number;
};

/**
 * @returns no lines where there is no such object, or nothing behind the offset
 * @example for await (const { text, next } of linesFrom(bucket, 'a.jsonl', { offset: 0, maxBytes: 1024, rangeBytes: 4096 })) …
 */
export async function* linesFrom(
  bucket: R2Bucket,
  key: string,
  { offset, maxBytes, rangeBytes }: LinesOptions,
): AsyncGenerator<BucketLine, void, undefined> {
  let pieces: Uint8Array[] = [];
  let bytes = 0;
  let at = offset;
  const hold = (piece: Uint8Array) => {
    bytes += piece.length;
    at += piece.length;
    if (bytes <= maxBytes) pieces.push(piece);
    else pieces = [];
  };
  const line = (): BucketLine => {
    const text = bytes > maxBytes ? null : Buffer.concat(pieces).toString('utf8');
    const ended = { text, bytes, next: at };
    pieces = [];
    bytes = 0;
    return ended;
  };
  const size = (await bucket.head(key))?.size ?? 0;
  while (at < size) {
    const length = Math.min(rangeBytes, size - at);
    const object = await bucket.get(key, { range: { offset: at, length } });
    if (object === null) throw new Error(`${key} is gone`);
    const range = new Uint8Array(await object.arrayBuffer());
    let from = 0;
    for (let end = range.indexOf(NEWLINE); end !== -1; end = range.indexOf(NEWLINE, from)) {
      hold(range.subarray(from, end));
      at++;
      from = end + 1;
      yield line();
    }
    hold(range.subarray(from));
  }
  if (bytes > 0) yield line();
}
