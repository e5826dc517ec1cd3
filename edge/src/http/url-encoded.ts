/** Parses application/x-www-form-urlencoded: query strings, and what `curl -d` sends. */
import { decodeText, percentDecode } from './decode-text.ts';
import { shownName } from './validate.ts';

/**
 * Names and values in their order. Unlike `URLSearchParams`, text that is not UTF-8 is refused, not replaced.
 * @throws ApiError `invalid-request`
 * @example parseUrlEncoded('prompt=a+dog&n=2') // [['prompt', 'a dog'], ['n', '2']]
 */
export function parseUrlEncoded(text: string): [name: string, value: string][] {
  return text
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const equals = pair.indexOf('=');
      const [name, value] =
        equals === -1 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)];
      const field = decode(name, shownName(name));
      return [field, decode(value, shownName(field))];
    });
}

function decode(text: string, field: string): string {
  const spaced = text.replaceAll('+', ' ');
  if (!spaced.includes('%')) return spaced;
  return decodeText(percentDecode(spaced), undefined, {
    what: `${field}: the text`,
    field,
    slug: 'invalid-request',
  });
}
