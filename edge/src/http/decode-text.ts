/** Texts of a request, from their bytes: in the encoding that it names, and never with replacement characters in silence. */
import { ApiError, type ProblemSlug } from '@blip2/shared/errors';

/**
 * @param charset label of an encoding; UTF-8 where none is named
 * @param text what it is, for the message, and the problem that bytes of another encoding are
 * @throws ApiError `unsupported-media-type` for an encoding that is unknown, `text.slug` for bytes that are not in it
 */
export function decodeText(
  bytes: Uint8Array,
  charset: string | undefined,
  { what, field, slug }: { what: string; field?: string; slug: ProblemSlug },
): string {
  const where = field === undefined ? {} : { field };
  let decoder: TextDecoder;
  try {
    decoder = new TextDecoder(charset?.trim() || 'utf-8', { fatal: true, ignoreBOM: false });
  } catch (cause) {
    const detail = `${what}: the charset ${charset?.slice(0, 32)} is not known; send UTF-8.`;
    throw new ApiError('unsupported-media-type', detail, { ...where, cause });
  }
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    const remedy = charset === undefined ? ', or name its charset in Content-Type' : '';
    const detail = `${what} is not ${decoder.encoding.toUpperCase()}: encode it so${remedy}.`;
    throw new ApiError(slug, detail, { ...where, cause });
  }
}

/** Longer than any text that is not refused, and short enough to go through it text by text. */
const MAX_TEXT_LENGTH = 2 ** 16;

/** Text of a form as JSON would have it: browsers write CR LF for each line break, which a model reads differently. */
export function withLineFeeds(text: string): string {
  return text.length > MAX_TEXT_LENGTH ? text : text.replaceAll('\r\n', '\n');
}

/** Whether bytes are no text, by the control characters among the first of them: every format of images has some. */
export function looksBinary(bytes: Uint8Array): boolean {
  return bytes.subarray(0, 256).some((byte) => byte < SPACE && !WHITE.has(byte));
}

const SPACE = 0x20;
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
  let length = 0;
  for (let i = 0; i < bytes.length; i++) {
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

const [PERCENT, PLUS] = [0x25, 0x2b];

/** Value of a hexadecimal digit in ASCII, or -1. */
export function hexDigit(byte = 0): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
