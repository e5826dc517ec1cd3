/** Parses application/x-www-form-urlencoded: query strings, and what `curl -d` sends. */

import { shownName } from '@blip2/shared/validate';
import { decodeText, percentDecode } from './decode-text.ts';
import {
  expectShortName,
  MAX_ENTRIES,
  MAX_NAME_LENGTH,
  TextCount,
  tooManyFields,
} from './form-fields.ts';
import { MAX_TEXT_BYTES, textTooLong } from './json-structure.ts';

/** Fields whose text has no spaces: where they seem to, as base64 of careless clients does, their `+` were not encoded. */
const WITHOUT_SPACES = new Set(['image', 'image[data]']);
/** Fields that may hold an image. */
const LARGE = new Set([...WITHOUT_SPACES, 'image[url]', 'image.data', 'image.url']);

/** Bytes of a character, percent-encoded. */
const MAX_ENCODED = 12;

const LATIN1 = new TextDecoder('latin1');

const [AMPERSAND, EQUALS, PERCENT, PLUS] = [0x26, 0x3d, 0x25, 0x2b];

/**
 * Names and values in their order. Unlike `URLSearchParams`, text that is not in its encoding is refused, not replaced.
 * @param text or its bytes, which do not last: an image among them needs no copy
 * @param charset of the bytes that are percent-encoded: old clients write those of the charset that they name
 * @throws ApiError `invalid-request`, also for more than `MAX_ENTRIES`, empty ones included, and texts that are too long
 * @example parseUrlEncoded('prompt=a+dog&n=2') // [['prompt', 'a dog'], ['n', '2']]
 */
export function parseUrlEncoded(
  text: string | Uint8Array,
  charset = 'utf-8',
): [name: string, value: string][] {
  const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
  const entries: [string, string][] = [];
  const texts = new TextCount();
  let pairs = 0;
  for (let start = 0; start < bytes.length; ) {
    const ampersand = bytes.indexOf(AMPERSAND, start);
    const pair = bytes.subarray(start, ampersand === -1 ? bytes.length : ampersand);
    start += pair.length + 1;
    if (++pairs > MAX_ENTRIES) throw tooManyFields(pairs);
    if (pair.length === 0) continue;
    const equals = pair.indexOf(EQUALS);
    const encoded = equals === -1 ? pair : pair.subarray(0, equals);
    const value = equals === -1 ? pair.subarray(pair.length) : pair.subarray(equals + 1);
    const written = LATIN1.decode(encoded);
    expectShortName(written, MAX_NAME_LENGTH * MAX_ENCODED);
    const name = decode(encoded, shownName(written), charset);
    if (value.length > MAX_TEXT_BYTES && !LARGE.has(name)) {
      throw textTooLong(shownName(name), value.length);
    }
    const plus = WITHOUT_SPACES.has(name) ? '+' : ' ';
    const decoded = decode(value, shownName(name), charset, plus);
    texts.add(decoded);
    entries.push([name, decoded]);
  }
  return entries;
}

function decode(bytes: Uint8Array, field: string, charset: string, plus: '+' | ' ' = ' '): string {
  const where = { what: `${field}: the text`, field, slug: 'invalid-request' } as const;
  const isPlain = !bytes.includes(PERCENT) && !(plus === ' ' && bytes.includes(PLUS));
  return decodeText(isPlain ? bytes : percentDecode(bytes, plus), charset, where);
}
