/** Header fields of the form `value; name=token; name="quoted string"` (RFC 9110, 5.6.6), as leniently as clients write them. */

export type HeaderValue = {
  /** In lower case, without its parameters; '' where there is none. */
  value: string;
  /** By name in lower case; the first of one name counts. */
  parameters: ReadonlyMap<string, string>;
};

/** A value with its parameters: what comes after so many is passed over. */
const MOST_PARTS = 65;

/**
 * @example parseHeaderValue('Form-Data; name=image; filename="a \\"b\\".png"')
 * // { value: 'form-data', parameters: Map { name → image, filename → a "b".png } }
 */
export function parseHeaderValue(header: string | null | undefined): HeaderValue {
  const [value = '', ...rest] = splitUnquoted(header ?? '', ';', MOST_PARTS);
  const parameters = new Map<string, string>();
  for (const parameter of rest) {
    const equals = parameter.indexOf('=');
    if (equals === -1) continue;
    const name = parameter.slice(0, equals).trim().toLowerCase();
    if (!parameters.has(name)) parameters.set(name, unquote(parameter.slice(equals + 1).trim()));
  }
  return { value: value.trim().toLowerCase(), parameters };
}

/**
 * The parts between separators that are not within quotes.
 * @param most parts; what comes after them is passed over
 */
export function splitUnquoted(
  text: string,
  separator: ',' | ';',
  most = Number.POSITIVE_INFINITY,
): string[] {
  const parts: string[] = [];
  let start = 0;
  let isQuoted = false;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (isQuoted && character === '\\') i++;
    else if (character === '"') isQuoted = !isQuoted;
    else if (character === separator && !isQuoted) {
      parts.push(text.slice(start, i));
      if (parts.length === most) return parts;
      start = i + 1;
    }
  }
  parts.push(text.slice(start));
  return parts;
}

function unquote(text: string): string {
  if (!text.startsWith('"')) return text;
  const end = text.length > 1 && text.endsWith('"') ? -1 : undefined;
  return text.slice(1, end).replace(/\\(.)/g, '$1');
}
