/** Images as text: base64 in all its spellings, and `data:` URLs. */
import { ApiError } from '@blip2/shared/errors';
import { percentDecode } from '../http/decode-text.ts';

type Bytes = Uint8Array<ArrayBuffer>;

/**
 * Bytes of base64 or of a `data:` URL (RFC 2397). Base64 may have either alphabet, lack its padding, be
 * percent-encoded, and have spaces and line breaks anywhere.
 * @throws ApiError `invalid-base64`
 * @example decodeImageData('DATA:image/gif; BASE64,R0lGODlh', 'image.data') // bytes of 'GIF89a'
 */
export function decodeImageData(text: string, field: string): Bytes {
  const trimmed = text.trim();
  if (!isDataUrl(trimmed)) return fromBase64(trimmed, field);
  const comma = trimmed.indexOf(',');
  if (comma === -1) throw invalid(`${field}: a data: URL has a comma before its data.`, field);
  const data = trimmed.slice(comma + 1);
  return /; *base64 *$/i.test(trimmed.slice(0, comma))
    ? fromBase64(data, field)
    : percentDecode(data);
}

export function isDataUrl(text: string): boolean {
  return /^data:/i.test(text);
}

function fromBase64(text: string, field: string): Bytes {
  const plain = text.includes('%') ? new TextDecoder('latin1').decode(percentDecode(text)) : text;
  // Whoever writes both alphabets in one text means the newer one.
  const isUrlSafe = /[-_]/.test(plain);
  const alphabet = isUrlSafe ? 'base64url' : 'base64';
  const inAlphabet = isUrlSafe ? plain.replaceAll('+', '-').replaceAll('/', '_') : plain;
  try {
    return Uint8Array.fromBase64(inAlphabet, { alphabet });
  } catch (cause) {
    const at = plain.search(/[^A-Za-z0-9+/=_\s-]/);
    const why =
      at === -1
        ? 'it is cut off, or has padding within'
        : `character ${at + 1} is ${JSON.stringify(String.fromCodePoint(plain.codePointAt(at) ?? 0))}`;
    throw invalid(`${field}: is neither base64 nor a data: URL: ${why}.`, field, cause);
  }
}

function invalid(detail: string, field: string, cause?: unknown): ApiError {
  return new ApiError('invalid-base64', detail, { field, cause });
}
