/** Decodes the `Content-Encoding` of a request (RFC 9110, 8.4), and never into more bytes than allowed. */
import { Buffer } from 'node:buffer';
import zlib from 'node:zlib';
import { ApiError } from '@blip2/shared/errors';
import { bodyTooLarge } from './read-limited.ts';
import { framesOf, mostFrames } from './zstd-frames.ts';

type Bytes = Uint8Array<ArrayBuffer>;
/** @param frames that may still come: of zstd, over all codings */
type Decoder = (bytes: Uint8Array, maxOutputLength: number, frames: { left: number }) => Uint8Array;

/** Largest window of zstd that HTTP allows (RFC 9659): 8 MiB. */
const ZSTD_WINDOW_LOG = 23;

const DECODERS: Readonly<Record<string, Decoder>> = {
  gzip: (bytes, maxOutputLength) => zlib.gunzipSync(bytes, { maxOutputLength }),
  deflate: (bytes, maxOutputLength) => {
    // Called deflate, it is zlib's format; some clients send the bare stream.
    const decode = isZlib(bytes) ? zlib.inflateSync : zlib.inflateRawSync;
    return decode(bytes, { maxOutputLength });
  },
  br: (bytes, maxOutputLength) => zlib.brotliDecompressSync(bytes, { maxOutputLength }),
  zstd: (bytes, maxOutputLength, count) => {
    const frames = framesOf(bytes, count.left);
    if (frames === null) throw new Error('no whole frames');
    count.left -= frames.length;
    const params = { [zlib.constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG };
    const parts: Uint8Array[] = [];
    let left = maxOutputLength;
    for (const frame of frames) {
      const part = zlib.zstdDecompressSync(frame, { maxOutputLength: left, params });
      parts.push(part);
      left -= part.length;
      if (left <= 0) throw new RangeError('too long');
    }
    return Buffer.concat(parts);
  },
};
const SUPPORTED = Object.keys(DECODERS).join(', ');

/**
 * What a body may become: images and their base64 hardly shrink, so that many times its size is work for nothing, which
 * costs its sender nothing.
 */
export const MAX_RATIO = 50;
const FREE_BYTES = 2 ** 20;

/** A body compressed twice is as large as one compressed once. */
const MAX_CODINGS = 2;
/** Those that are `identity`, or nothing at all, included. */
const MAX_LISTED = 64;

/**
 * @param header value of `Content-Encoding`: codings in the order in which they were applied
 * @throws ApiError `unsupported-content-encoding`
 * @example parseContentEncoding('identity, X-GZIP') // ['gzip']
 */
export function parseContentEncoding(header: string | null): string[] {
  const listed = (header ?? '').split(',', MAX_LISTED + 1);
  if (listed.length > MAX_LISTED) {
    throw unsupported(`More than ${MAX_LISTED} codings are not read; use one.`);
  }
  const codings = listed
    .map((coding) => coding.trim().toLowerCase())
    .filter((coding) => coding !== '' && coding !== 'identity')
    .map((coding) => (coding === 'x-gzip' ? 'gzip' : coding));
  const unknown = codings.find((coding) => !Object.hasOwn(DECODERS, coding));
  if (unknown !== undefined) {
    throw unsupported(
      `Content-Encoding ${unknown.slice(0, 32)} is not read; use ${SUPPORTED}, or none.`,
    );
  }
  if (codings.length > MAX_CODINGS) {
    throw unsupported(`${codings.length} codings one over the other are not read; use one.`);
  }
  return codings;
}

/**
 * @param limit bytes of the result, and of what is between two codings
 * @throws ApiError `body-too-large` as soon as it is more, or over 50 times the body and 1 MiB, `invalid-content-encoding`
 */
export function decodeContent(bytes: Bytes, codings: readonly string[], limit: number): Bytes {
  const most = mostInflated(bytes.length, limit);
  const tooLarge = () => (most < limit ? new InflatesTooMuch(most) : bodyTooLarge(limit));
  const frames = { left: mostFrames(bytes.length) };
  let decoded: Uint8Array = bytes;
  for (const coding of codings.toReversed()) {
    try {
      // One more, because workerd refuses what has as many as it may.
      decoded = DECODERS[coding]?.(decoded, most + 1, frames) ?? decoded;
    } catch (cause) {
      if (cause instanceof ApiError) throw cause;
      if (cause instanceof RangeError) throw tooLarge();
      const detail = `The body is not ${coding}, as Content-Encoding says, or is cut off or damaged.`;
      throw new ApiError('invalid-content-encoding', detail, { cause });
    }
    if (decoded.length > most) throw tooLarge();
  }
  // What Node's functions return may be a view of a larger buffer.
  const isWhole = decoded.byteLength === decoded.buffer.byteLength;
  return isWhole ? new Uint8Array(decoded.buffer as ArrayBuffer) : new Uint8Array(decoded);
}

/** Bytes that a body of so many may become. */
export function mostInflated(bytes: number, limit: number): number {
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
