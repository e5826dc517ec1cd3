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
  for (let i = 0; i < bytes.length; i++) {
    const [byte = 0, first, second] = [bytes[i], bytes[i + 1], bytes[i + 2]];
    const [high, low] = [hexDigit(first), hexDigit(second)];
    if (byte !== EQUALS) decoded[length++] = byte;
    else if (high >= 0 && low >= 0) {
      decoded[length++] = high * 16 + low;
      i += 2;
    } else if (first === LF) i += 1;
    else if (first === CR && second === LF) i += 2;
    else decoded[length++] = byte;
  }
  return decoded.subarray(0, length);
}
