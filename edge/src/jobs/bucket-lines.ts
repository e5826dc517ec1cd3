/** Lines of an object in the bucket from a place on, a range of it after the other: memory holds one, and a line that is under way. */
import type { Slices } from '../pauses.ts';
import { pause } from '../turns/turns.ts';

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
  /** Lines from the offset on that are passed over, and not looked at. */
  skipped?: number;
  /** What it does to wait for the bucket. */
  away?: Slices['away'];
  /** So many bytes of each line are decoded; a character that they end in is left out. */
  headBytes?: number;
  /** Asked for each line in its order: one that is not wanted is not decoded. */
  isWanted?: () => Promise<boolean>;
};

/**
 * @returns no lines where there is no such object, or nothing behind the offset
 * @example for await (const { text, next } of linesFrom(bucket, 'a.jsonl', { offset: 0, maxBytes: 1024, rangeBytes: 4096 })) …
 */
export async function* linesFrom(
  bucket: R2Bucket,
  key: string,
  {
    offset,
    maxBytes,
    rangeBytes,
    skipped = 0,
    headBytes = maxBytes,
    isWanted,
    away = (call) => call(),
  }: LinesOptions,
): AsyncGenerator<BucketLine, void, undefined> {
  let pieces: Uint8Array[] = [];
  let bytes = 0;
  /** Of what is held, bytes. */
  let heldBytes = 0;
  let at = offset;
  let left = skipped;
  let decoder = newDecoder();
  const hold = (piece: Uint8Array) => {
    bytes += piece.length;
    at += piece.length;
    if (left > 0) return;
    if (bytes > maxBytes) pieces = [];
    else if (heldBytes < headBytes) {
      const head = piece.subarray(0, headBytes - heldBytes);
      pieces.push(head);
      heldBytes += head.length;
    }
  };
  const drop = () => {
    pieces = [];
    bytes = 0;
    heldBytes = 0;
  };
  const line = (): BucketLine => {
    const ended = { bytes, next: at };
    const read =
      bytes > maxBytes
        ? ({ text: null, fault: 'too-long' } as const)
        : decoded(decoder, pieces, bytes > heldBytes);
    // What it was in the midst of is left in it.
    if ('fault' in read || bytes > heldBytes) decoder = newDecoder();
    drop();
    return { ...read, ...ended };
  };
  let size: number | undefined;
  /** The next range; of the first one it asks whether there is any. */
  const read = async () => {
    size ??= (await bucket.head(key))?.size ?? 0;
    const length = Math.min(rangeBytes, size - at);
    if (length <= 0) return new Uint8Array(0);
    const object = await bucket.get(key, { range: { offset: at, length } });
    if (object === null) throw new Error(`${key} is gone`);
    return new Uint8Array(await object.arrayBuffer());
  };
  while (size === undefined || at < size) {
    const range = await away(read);
    let from = 0;
    for (let end = range.indexOf(NEWLINE); end !== -1; end = range.indexOf(NEWLINE, from)) {
      hold(range.subarray(from, end));
      at++;
      from = end + 1;
      if (left > 0) {
        left--;
        bytes = 0;
      } else if ((await isWanted?.()) === false) drop();
      else yield line();
    }
    hold(range.subarray(from));
    // Nobody who gets its lines lets others come between.
    if (left > 0) await pause(1);
  }
  if (bytes > 0 && left === 0 && (await isWanted?.()) !== false) yield line();
}

const newDecoder = () => new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });

/** A mark of the order of bytes in front is no part of the text. */
function decoded(decoder: TextDecoder, pieces: readonly Uint8Array[], isCut: boolean) {
  const [piece = new Uint8Array(0)] = pieces;
  try {
    if (isCut)
      return { text: pieces.map((some) => decoder.decode(some, { stream: true })).join('') };
    const text =
      pieces.length <= 1
        ? decoder.decode(piece)
        : pieces.map((some) => decoder.decode(some, { stream: true })).join('') + decoder.decode();
    return { text };
  } catch {
    return { text: null, fault: 'not-utf-8' } as const;
  }
}

/** Read at a time, bytes. */
const RANGE_BYTES = 2 ** 20;

/** The bytes of an object, a range of it after the other; none where there is no such object. */
export async function* rangesOf(
  bucket: R2Bucket,
  key: string,
  away: Slices['away'],
): AsyncGenerator<Uint8Array, void, undefined> {
  const size = (await away(() => bucket.head(key)))?.size ?? 0;
  for (let offset = 0; offset < size; offset += RANGE_BYTES) {
    const range = { offset, length: Math.min(RANGE_BYTES, size - offset) };
    yield await away(async () => {
      const object = await bucket.get(key, { range });
      if (object === null) throw new Error(`${key} is gone`);
      return new Uint8Array(await object.arrayBuffer());
    });
  }
}
