/** Parses application/x-www-form-urlencoded: query strings, and what `curl -d` sends. */
import { decodeText, percentDecode } from './decode-text.ts';
import { MAX_ENTRIES, tooManyFields } from './form-fields.ts';
import { shownName } from './validate.ts';

/** Fields whose text has no spaces: where they seem to, as base64 of careless clients does, their `+` were not encoded. */
const WITHOUT_SPACES = new Set(['image', 'image[data]']);

/**
 * Names and values in their order. Unlike `URLSearchParams`, text that is not in its encoding is refused, not replaced.
 * @param charset of the bytes that are percent-encoded: old clients write those of the charset that they name
 * @throws ApiError `invalid-request`, also for more than `MAX_ENTRIES`
 * @example parseUrlEncoded('prompt=a+dog&n=2') // [['prompt', 'a dog'], ['n', '2']]
 */
export function parseUrlEncoded(text: string, charset = 'utf-8'): [name: string, value: string][] {
  const entries: [string, string][] = [];
  for (let start = 0; start < text.length; ) {
    const ampersand = text.indexOf('&', start);
    const end = ampersand === -1 ? text.length : ampersand;
    const pair = text.slice(start, end);
    start = end + 1;
    if (pair === '') continue;
    if (entries.length === MAX_ENTRIES) throw tooManyFields();
    const equals = pair.indexOf('=');
    const [name, value] =
      equals === -1 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)];
    const field = decode(name, shownName(name), charset);
    const plus = WITHOUT_SPACES.has(field) ? '+' : ' ';
    entries.push([field, decode(value, shownName(field), charset, plus)]);
  }
  return entries;
}

function decode(text: string, field: string, charset: string, plus: '+' | ' ' = ' '): string {
  if (!text.includes('%') && !(plus === ' ' && text.includes('+'))) return text;
  const where = { what: `${field}: the text`, field, slug: 'invalid-request' } as const;
  return decodeText(percentDecode(text, plus), charset, where);
}
