/** Lines of an object in the bucket from a place on, a range of it after the other: memory holds one, and a line that is under way. */

/** A line without its end, and where the next one begins; one that is too long is not held. */
export type BucketLine = { bytes: number; next: number } & (
  | { text: string }
  | { text: null; fault: 'too-long' | 'not-utf-8' }
);

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
    const ended = { bytes, next: at };
    const read = bytes > maxBytes ? ({ text: null, fault: 'too-long' } as const) : decoded(pieces);
    pieces = [];
    bytes = 0;
    return { ...read, ...ended };
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

/** A mark of the order of bytes in front is no part of the text. */
function decoded(pieces: readonly Uint8Array[]) {
  if (pieces.every(({ length }) => length === 0)) return { text: '' };
  try {
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });
    const text = pieces.map((piece) => decoder.decode(piece, { stream: true })).join('');
    return { text: text + decoder.decode() };
  } catch {
    return { text: null, fault: 'not-utf-8' } as const;
  }
}
