/** Decodes the `Content-Transfer-Encoding` of a part (RFC 2045, 6), which a few clients still send. */
import { ApiError } from '@blip2/shared/errors';
import { hexDigit } from './decode-text.ts';

type Bytes = Uint8Array<ArrayBuffer>;

/**
 * @param field name of the part
 * @throws ApiError `invalid-multipart`
 * @example decodeTransfer(new TextEncoder().encode('YQ=='), 'Base64', 'prompt') // bytes of 'a'
 */
export function decodeTransfer(bytes: Bytes, encoding: string | undefined, field: string): Bytes {
  switch (encoding?.toLowerCase()) {
    case undefined:
    case '':
    case 'binary':
    case '7bit':
    case '8bit':
      return bytes;
    case 'base64':
      return fromBase64(bytes, field);
    case 'quoted-printable':
      return fromQuotedPrintable(bytes);
    default: {
      const name = encoding?.slice(0, 32);
      const detail = `${field}: Content-Transfer-Encoding ${name} is not read; send binary.`;
      throw new ApiError('invalid-multipart', detail, { field });
    }
  }
}

function fromBase64(bytes: Bytes, field: string): Bytes {
  try {
    return Uint8Array.fromBase64(new TextDecoder('latin1').decode(bytes));
  } catch (cause) {
    const detail = `${field}: is not base64, as its Content-Transfer-Encoding says.`;
    throw new ApiError('invalid-multipart', detail, { field, cause });
  }
}

const [EQUALS, CR, LF] = [0x3d, 0x0d, 0x0a];

/** `=41` is a byte, and `=` at the end of a line continues it; anything else stands for itself. */
function fromQuotedPrintable(bytes: Bytes): Bytes {
  const decoded = new Uint8Array(bytes.length);
  let length = 0;
  let at = 0;
  while (at < bytes.length) {
    const next = bytes.indexOf(EQUALS, at);
    const end = next === -1 ? bytes.length : next;
    decoded.set(bytes.subarray(at, end), length);
    length += end - at;
    at = end;
    // One after the other: a search has a price of its own, which none of millions is worth.
    while (bytes[at] === EQUALS) {
      const high = hexDigit(bytes[at + 1]);
      const low = high < 0 ? -1 : hexDigit(bytes[at + 2]);
      const broken = high < 0 ? lineBreakAt(bytes, at + 1) : 0;
      if (broken === 0) decoded[length++] = low < 0 ? EQUALS : high * 16 + low;
      at += 1 + (low < 0 ? broken : 2);
      // A few characters stand between two in most texts.
      for (let near = at + NEAR; at < near && at < bytes.length && bytes[at] !== EQUALS; at++) {
        decoded[length++] = bytes[at] as number;
      }
    }
  }
  return decoded.subarray(0, length);
}

const NEAR = 32;

/** Bytes of the line break there, or 0. */
function lineBreakAt(bytes: Bytes, at: number): number {
  if (bytes[at] === LF) return 1;
  return bytes[at] === CR && bytes[at + 1] === LF ? 2 : 0;
}
