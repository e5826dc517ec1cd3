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
  const plain = text.includes('%') ? percentDecoded(text) : text;
  const alphabet = plain.includes('-') || plain.includes('_') ? 'base64url' : 'base64';
  try {
    return Uint8Array.fromBase64(plain, { alphabet });
  } catch (cause) {
    const at = plain.search(alphabet === 'base64' ? NO_BASE64 : NO_BASE64_FOR_URLS);
    const wrong = at === -1 ? undefined : String.fromCodePoint(plain.codePointAt(at) ?? 0);
    const why =
      wrong === undefined
        ? 'it is cut off, or has padding within'
        : `character ${at + 1} is ${JSON.stringify(wrong)}`;
    // A file's name, or an address without its beginning.
    const hint =
      wrong === '.' ? ' A URL begins with https:// or http://; send the bytes of a file.' : '';
    throw invalid(`${field}: is neither base64 nor a data: URL: ${why}.${hint}`, field, cause);
  }
}

/** Half of a surrogate pair at a time: a search by characters takes ten times as long. */
const NO_BASE64 = /[^A-Za-z0-9+/=\s]/;
const NO_BASE64_FOR_URLS = /[^A-Za-z0-9_=\s-]/;

const LATIN1 = new TextDecoder('latin1');

/** What is no ASCII is left as it is: it is refused by the character that was sent. */
function percentDecoded(text: string): string {
  const bytes = new TextEncoder().encode(text);
  return bytes.length === text.length ? LATIN1.decode(percentDecode(bytes)) : text;
}

function invalid(detail: string, field: string, cause?: unknown): ApiError {
  return new ApiError('invalid-base64', detail, { field, cause });
}
