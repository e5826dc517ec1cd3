/**
 * Decodes the `Content-Encoding` of a request (RFC 9110, 8.4): never into more bytes than allowed, and by pieces. Brotli is not read,
 * nor one coding over another: a block of 79 bytes can be all tables and no content, 3.4 seconds of work a megabyte, and another
 * coding around it makes of that megabyte 5 KB.
 */
import { Buffer } from 'node:buffer';
import type { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import zlib from 'node:zlib';
import { ApiError } from '@blip2/shared/errors';
import { DEAR_MS } from '../turns/dear-work.ts';
import { pause } from '../turns/turns.ts';
import { inflatingCost } from './body-costs.ts';
import { bodyTooLarge } from './read-limited.ts';
import { framesOf, mostFrames } from './zstd-frames.ts';

type Bytes = Uint8Array<ArrayBuffer>;

type Coding = {
  /** What it costs by what comes in: measured with blocks that are tables alone, of which nothing comes out. */
  msPerMegabyte: number;
  /** Each with a decoder of its own. @returns null where it is cut off */
  parts: (bytes: Uint8Array) => Uint8Array[] | null;
  decoder: (bytes: Uint8Array, options: { chunkSize: number }) => Transform;
};

/** Largest window of zstd that HTTP allows (RFC 9659): 8 MiB. */
const ZSTD_WINDOW_LOG = 23;

const CODINGS: Readonly<Record<string, Coding>> = {
  gzip: {
    msPerMegabyte: 120,
    parts: (bytes) => [bytes],
    decoder: (_, options) => zlib.createGunzip(options),
  },
  deflate: {
    msPerMegabyte: 120,
    parts: (bytes) => [bytes],
    // Called deflate, it is zlib's format; some clients send the bare stream.
    decoder: (bytes, options) =>
      isZlib(bytes) ? zlib.createInflate(options) : zlib.createInflateRaw(options),
  },
  zstd: {
    msPerMegabyte: 250,
    parts: (bytes) => framesOf(bytes, mostFrames(bytes.length)),
    decoder: (_, options) => {
      const params = { [zlib.constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG };
      return zlib.createZstdDecompress({ ...options, params });
    },
  },
};
const SUPPORTED = Object.keys(CODINGS).join(', ');

/** What a decoder gets at a time: a millisecond of work, or two. */
const PIECE_BYTES = 2 ** 13;
const CHUNK_BYTES = 2 ** 16;

/**
 * What a body may become: images and their base64 hardly shrink, so that many times its size is work for nothing, which
 * costs its sender nothing.
 */
export const MAX_RATIO = 50;
const FREE_BYTES = 2 ** 20;

/** Those that are `identity`, or nothing at all, included. */
const MAX_LISTED = 64;

/**
 * @param header value of `Content-Encoding`
 * @returns null for none
 * @throws ApiError `unsupported-content-encoding`, also for several codings one over the other
 * @example parseContentEncoding('identity, X-GZIP') // 'gzip'
 */
export function parseContentEncoding(header: string | null): string | null {
  const listed = (header ?? '').split(',', MAX_LISTED + 1);
  if (listed.length > MAX_LISTED) {
    throw unsupported(`More than ${MAX_LISTED} codings are not read; use one.`);
  }
  const codings = listed
    .map((coding) => coding.trim().toLowerCase())
    .filter((coding) => coding !== '' && coding !== 'identity')
    .map((coding) => (coding === 'x-gzip' ? 'gzip' : coding));
  const unknown = codings.find((coding) => !Object.hasOwn(CODINGS, coding));
  if (unknown !== undefined) {
    throw unsupported(
      `Content-Encoding ${unknown.slice(0, 32)} is not read; use ${SUPPORTED}, or none.`,
    );
  }
  const [first = null, ...more] = codings;
  if (more.length > 0) {
    throw unsupported(`${codings.length} codings one over the other are not read; use one.`);
  }
  return first;
}

/** What a body costs by its bytes as they were sent, milliseconds: it may be all tables, of which nothing comes. */
export function decodingMs(bytes: number, coding: string): number {
  return ((CODINGS[coding]?.msPerMegabyte ?? 0) * bytes) / 1e6;
}

export type Decoding = {
  coding: string;
  /** Bytes of the result. */
  limit: number;
  /** Waits until so many milliseconds of work may be done in one piece. */
  turn: (ms: number) => Promise<void>;
  /** Is called with how many bytes have come out, each time that some have. */
  onBytes?: (bytes: number) => void;
  clock?: Clock;
};

/** `now`: milliseconds. */
type Clock = { now: () => number; pause: (ms: number) => Promise<void> };

/** A piece that took less than this part of what it may take is fast: those of honest bodies take a fifth. */
const FAST = 8 / DEAR_MS;
/** What a piece behind a fast one may take, milliseconds: the more is done in a turn, the less often a body waits for others. */
const BEHIND_FAST_MS = 4 * DEAR_MS;

/**
 * A turn before each piece of work, which may take 25 milliseconds, or 100 where the one before was fast.
 * @throws ApiError `body-too-large` as soon as it is more, or over 50 times the body and 1 MiB, `invalid-content-encoding`; what `turn` and
 *   `onBytes` throw
 */
export async function decodeContent(
  bytes: Bytes,
  { coding, limit, turn, onBytes, clock = { now: Date.now, pause } }: Decoding,
): Promise<Bytes> {
  const { parts, decoder } = CODINGS[coding] as Coding;
  const most = mostInflated(bytes.length, limit);
  const decoded: Uint8Array[] = [];
  let length = 0;
  let leftBytes = bytes.length;
  let leftMs = 0;
  // The pipeline may end with another error.
  const ours: unknown[] = [];
  const noted = (thrown: unknown) => {
    ours.push(thrown);
    throw thrown;
  };
  let pieceMs = 0;
  let startedAt = 0;
  const nextTurn = async () => {
    const isFast = pieceMs > 0 && (await took(clock, startedAt)) < FAST * pieceMs;
    pieceMs = isFast ? BEHIND_FAST_MS : DEAR_MS;
    const ms = decodingMs(leftBytes, coding) + inflatingCost(most - length).ms;
    await turn(Math.min(ms, pieceMs));
    startedAt = clock.now();
    leftMs = pieceMs;
  };
  async function* pieces(part: Uint8Array) {
    for (let start = 0; start < part.length; start += PIECE_BYTES) {
      if (leftMs <= 0) await nextTurn().catch(noted);
      const piece = part.subarray(start, start + PIECE_BYTES);
      leftBytes -= piece.length;
      leftMs -= decodingMs(piece.length, coding);
      yield piece;
    }
  }
  const add = (chunk: Uint8Array) => {
    length += chunk.length;
    if (length > most) throw most < limit ? new InflatesTooMuch(most) : bodyTooLarge(limit);
    leftMs -= inflatingCost(chunk.length).ms;
    onBytes?.(chunk.length);
    decoded.push(chunk);
  };
  const collect = async (chunks: AsyncIterable<Uint8Array>) => {
    try {
      for await (const chunk of chunks) add(chunk);
    } catch (thrown) {
      noted(thrown);
    }
  };
  try {
    const wholeParts = parts(bytes);
    if (wholeParts === null) throw new Error('no whole frames');
    for (const part of wholeParts) {
      await pipeline(pieces(part), decoder(part, { chunkSize: CHUNK_BYTES }), collect);
    }
  } catch (thrown) {
    const cause = ours[0] ?? thrown;
    if (cause instanceof ApiError) throw cause;
    const detail = `The body is not ${coding}, as Content-Encoding says, or is cut off or damaged.`;
    throw new ApiError('invalid-content-encoding', detail, { cause });
  }
  const whole = Buffer.concat(decoded);
  // What is small is a view of a larger buffer.
  const isWhole = whole.byteLength === whole.buffer.byteLength;
  return isWhole ? new Uint8Array(whole.buffer as ArrayBuffer) : new Uint8Array(whole);
}

/** Milliseconds since then. */
async function took({ now, pause }: Clock, startedAt: number): Promise<number> {
  const ms = now() - startedAt;
  if (ms > 0) return ms;
  // On Cloudflare the clock stands still while code computes, and moves at a pause.
  await pause(1);
  return now() - startedAt;
}

/** Bytes that a body of so many may become. */
function mostInflated(bytes: number, limit: number): number {
  return Math.min(limit, Math.max(FREE_BYTES, MAX_RATIO * bytes));
}

/** `limit` follows from the size of the body, and says nothing of how large it may be. */
export class InflatesTooMuch extends ApiError {
  constructor(limit: number) {
    const detail = `The body becomes more than ${MAX_RATIO} times as large when it is inflated: send it without Content-Encoding.`;
    super('body-too-large', detail, { limit });
  }
}

/** The two bytes that begin zlib's format (RFC 1950): method 8, and a multiple of 31 together. */
function isZlib([first = 0, second = 0]: Uint8Array): boolean {
  return (first & 0x0f) === 8 && ((first << 8) | second) % 31 === 0;
}

function unsupported(detail: string): ApiError {
  const headers = { 'accept-encoding': SUPPORTED };
  return new ApiError('unsupported-content-encoding', detail, { headers });
}
