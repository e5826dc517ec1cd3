/** Texts of a request, from their bytes: in the encoding that it names, and never with replacement characters in silence. */
import { Buffer, isAscii } from 'node:buffer';
import { ApiError, type ProblemSlug } from '@blip2/shared/errors';

/** What a text is, for the message, and the problem that bytes of another encoding are. */
export type TextSource = { what: string; field?: string; slug: ProblemSlug };

/** Longer than any text that is not refused, and short enough to go through it text by text. */
const MAX_TEXT_LENGTH = 2 ** 16;

/**
 * Bytes of JSON in other encodings than UTF-8 that are decoded: the platform is slow at it, and makes several of each. What is
 * longer is an image, whose base64 is ASCII in nearly all of them.
 */
export const MAX_CONVERTED = 2 ** 21;

/** Encodings in which bytes of ASCII may be something else. */
const NOT_ASCII = new Set(['utf-16le', 'utf-16be', 'iso-2022-jp']);

/**
 * @param charset label of an encoding; UTF-8 where none is named
 * @throws ApiError `unsupported-media-type` for an encoding that is unknown, `source.slug` for bytes that are not in it,
 *   `body-too-large` for too many that are in another than UTF-8, and no ASCII
 */
export function decodeText(
  bytes: Uint8Array,
  charset: string | undefined,
  source: TextSource,
): string {
  const decoder = wholeDecoderOf(charset, source);
  if (decoder.encoding !== 'utf-8' && bytes.length > MAX_TEXT_LENGTH) {
    // An image's: all others are refused.
    if (!NOT_ASCII.has(decoder.encoding) && isAscii(bytes)) return LATIN1.decode(bytes);
    throw tooMuchOf(decoder.encoding, { limit: MAX_TEXT_LENGTH, actual: bytes.length }, source);
  }
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    // Whatever state it is in now.
    if (decoder !== UTF8) wholeDecoders.delete(charset ?? '');
    throw notIn(decoder.encoding, charset, source, cause);
  }
}

/** One for all: a form has thousands of texts. */
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });
const LATIN1 = new TextDecoder('latin1');

/** What is converted at a time; what is ASCII between two is not. */
const PIECE = 4096;
/** Bytes behind the last that is not ASCII in which a character of any encoding has ended. */
const LONGEST_REST = 4;

/**
 * The same text in UTF-8, without a byte order mark: nearly all of a body with an image is ASCII, and stays what it is.
 * @param charset as of `decodeText`
 * @param total bytes that were converted, of all texts that share a limit
 * @throws ApiError as `decodeText`
 */
export function toUtf8(
  bytes: Uint8Array,
  charset: string | undefined,
  source: TextSource,
  total = { converted: 0 },
): Uint8Array {
  const decoder = decoderOf(charset, source);
  const { encoding } = decoder;
  if (encoding === 'utf-8') {
    const [first, second, third] = bytes;
    return first === 0xef && second === 0xbb && third === 0xbf ? bytes.subarray(3) : bytes;
  }
  const mayBeAscii = !NOT_ASCII.has(encoding);
  if (mayBeAscii && isAscii(bytes)) return bytes;
  const encoder = new TextEncoder();
  const parts: Uint8Array[] = [];
  let isOpen = !mayBeAscii;
  try {
    for (let start = 0; start < bytes.length; start += PIECE) {
      const piece = bytes.subarray(start, start + PIECE);
      if (!isOpen && isAscii(piece)) {
        parts.push(piece);
        continue;
      }
      total.converted += piece.length;
      if (total.converted > MAX_CONVERTED) {
        throw tooMuchOf(encoding, { limit: MAX_CONVERTED, actual: total.converted }, source);
      }
      parts.push(encoder.encode(decoder.decode(piece, { stream: true })));
      isOpen = !mayBeAscii || !isAscii(piece.subarray(-LONGEST_REST));
    }
    parts.push(encoder.encode(decoder.decode()));
  } catch (cause) {
    throw cause instanceof ApiError ? cause : notIn(encoding, charset, source, cause);
  }
  return Buffer.concat(parts);
}

/** For whole texts, by label: to make one takes longer than to decode a short text, and a form has thousands. */
const wholeDecoders = new Map<string, TextDecoder>();
/** More than there are encodings. */
const MOST_DECODERS = 64;

/** Of texts that are decoded in one call each. @throws ApiError `unsupported-media-type` */
function wholeDecoderOf(charset: string | undefined, source: TextSource): TextDecoder {
  const label = charset ?? '';
  const known = wholeDecoders.get(label);
  if (known !== undefined) return known;
  const decoder = decoderOf(charset, source);
  // Labels in capitals are others.
  if (wholeDecoders.size >= MOST_DECODERS) wholeDecoders.clear();
  wholeDecoders.set(label, decoder);
  return decoder;
}

/** @throws ApiError `unsupported-media-type` */
function decoderOf(charset: string | undefined, { what, ...where }: TextSource): TextDecoder {
  const label = charset?.trim();
  if (!label || /^utf-?8$/i.test(label)) return UTF8;
  try {
    return new TextDecoder(label, { fatal: true, ignoreBOM: false });
  } catch (cause) {
    const detail = `${what}: the charset ${charset?.slice(0, 32)} is not known; send UTF-8.`;
    throw new ApiError('unsupported-media-type', detail, { ...fieldOf(where), cause });
  }
}

function notIn(
  encoding: string,
  charset: string | undefined,
  { what, slug, ...where }: TextSource,
  cause: unknown,
): ApiError {
  const remedy = charset === undefined ? ', or name its charset in Content-Type' : '';
  const detail = `${what} is not ${encoding.toUpperCase()}: encode it so${remedy}.`;
  return new ApiError(slug, detail, { ...fieldOf(where), cause });
}

/** @param limits `actual`: bytes, or those that were found when it was given up */
function tooMuchOf(
  encoding: string,
  limits: { limit: number; actual: number },
  { what, ...where }: TextSource,
): ApiError {
  const detail = `${what}: at most ${limits.limit} bytes of ${encoding.toUpperCase()} are converted; send UTF-8.`;
  return new ApiError('body-too-large', detail, { ...fieldOf(where), ...limits });
}

function fieldOf({ field }: { field?: string }): { field?: string } {
  return field === undefined ? {} : { field };
}

/** Text of a form as JSON would have it: browsers write CR LF for each line break, which a model reads differently. */
export function withLineFeeds(text: string): string {
  return text.length > MAX_TEXT_LENGTH ? text : text.replaceAll('\r\n', '\n');
}

/** Whether bytes are no text, by the control characters among the first of them: every format of images has some. */
export function looksBinary(bytes: Uint8Array): boolean {
  return bytes.subarray(0, 256).some((byte) => byte < SPACE && !WHITE.has(byte));
}

const [SPACE, PERCENT, PLUS] = [0x20, 0x25, 0x2b];
const WHITE = new Set([0x09, 0x0a, 0x0b, 0x0c, 0x0d]);

/**
 * Bytes of a percent-encoded text, or of its bytes, which are decoded where they stand; a percent sign without two
 * hexadecimal digits stands for itself.
 * @param plus what `+` stands for
 */
export function percentDecode(
  text: string | Uint8Array,
  plus: '+' | ' ' = '+',
): Uint8Array<ArrayBuffer> {
  const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
  const first = plus === '+' ? bytes.indexOf(PERCENT) : 0;
  if (first === -1) return bytes as Uint8Array<ArrayBuffer>;
  let length = first;
  for (let i = first; i < bytes.length; i++) {
    let byte = bytes[i] as number;
    if (byte === PLUS && plus === ' ') byte = SPACE;
    if (byte === PERCENT) {
      const [high, low] = [hexDigit(bytes[i + 1]), hexDigit(bytes[i + 2])];
      if (high >= 0 && low >= 0) {
        byte = high * 16 + low;
        i += 2;
      }
    }
    bytes[length++] = byte;
  }
  return bytes.subarray(0, length) as Uint8Array<ArrayBuffer>;
}

/** Value of a hexadecimal digit in ASCII, or -1. */
export function hexDigit(byte = 0): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
