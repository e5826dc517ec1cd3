/** Lines of an object in the bucket from a place on, as they come: memory holds one of them, and the chunk it came with. */
import { Buffer } from 'node:buffer';

/** A line without its end, and where the next one begins; null for one that is too long, which is not held. */
export type BucketLine = { text: string | null; bytes: number; next: number };

const NEWLINE = 0x0a;

/**
 * @param offset where a line begins, bytes
 * @param maxBytes of one line
 * @returns no lines where there is no such object, or nothing behind the offset
 * @example for await (const { text, next } of linesFrom(bucket, 'a.jsonl', 0, 1024)) …
 */
export async function* linesFrom(
  bucket: R2Bucket,
  key: string,
  offset: number,
  maxBytes: number,
): AsyncGenerator<BucketLine, void, undefined> {
  const head = await bucket.head(key);
  if (head === null || offset >= head.size) return;
  const object = await bucket.get(key, { range: { offset } });
  if (object === null) return;
  const reader = object.body.getReader();
  let pieces: Uint8Array[] = [];
  let bytes = 0;
  let at = offset;
  const line = (): BucketLine => {
    const text = bytes > maxBytes ? null : Buffer.concat(pieces).toString('utf8');
    const ended = { text, bytes, next: at };
    pieces = [];
    bytes = 0;
    return ended;
  };
  const hold = (piece: Uint8Array) => {
    bytes += piece.length;
    at += piece.length;
    if (bytes <= maxBytes) pieces.push(piece);
    else pieces = [];
  };
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      let from = 0;
      for (let end = value.indexOf(NEWLINE); end !== -1; end = value.indexOf(NEWLINE, from)) {
        hold(value.subarray(from, end));
        at++;
        from = end + 1;
        yield line();
      }
      hold(value.subarray(from));
    }
    if (bytes > 0) yield line();
  } finally {
    // Whoever has enough of it need not read the rest.
    await reader.cancel().catch(() => {});
  }
}
