/** Reads a JSON body strictly: bounded, each name once, whole characters, and null as absent. */
import { ApiError } from '@blip2/shared/errors';
import { decodeText } from './decode-text.ts';
import { shownName } from './validate.ts';

/** Far beyond any request; the parser needs memory for each. */
const MAX_DEPTH = 32;
const MAX_VALUES = 10_000;
/** Characters that are in no string: punctuation, numbers, white space. */
const MAX_OUTSIDE = 2 ** 20;

/**
 * The members of a JSON object. A member that is null is absent, in nested objects too.
 * @param charset of `Content-Type`, where it names one
 * @throws ApiError `invalid-json`, `invalid-request`, and what `decodeText` throws
 * @example parseJsonObject(new TextEncoder().encode('{"seed": null, "n": 2}')) // { n: 2 }
 */
export function parseJsonObject(bytes: Uint8Array, charset?: string): Record<string, unknown> {
  const value = parseJsonValue(
    decodeText(bytes, charset, {
      what: 'The body',
      slug: 'invalid-json',
    }),
  );
  if (typeof value === 'string' && /^\s*\{/.test(value)) {
    const detail = 'The body is a JSON text that holds JSON: encode it once.';
    throw new ApiError('invalid-request', detail);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ApiError('invalid-request', 'The body must be a JSON object.');
  }
  return value as Record<string, unknown>;
}

/**
 * A JSON value, as strictly. @param field that the text is, where it is not the body
 * @throws ApiError `invalid-json`, `invalid-request`
 */
export function parseJsonValue(text: string, field?: string): unknown {
  const repeated = checkStructure(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const what = field === undefined ? 'The body' : shownName(field);
    const why = cause instanceof Error ? `: ${cause.message.slice(0, 150)}` : '';
    throw new ApiError('invalid-json', `${what} is not valid JSON${why}.`, {
      ...(field === undefined ? {} : { field: shownName(field) }),
      cause,
    });
  }
  if (repeated !== null) {
    const name = shownName(repeated);
    throw new ApiError('invalid-request', `${name} is given twice.`, { field: name });
  }
  return cleaned(value, field === undefined ? [] : [field]);
}

const [QUOTE, COMMA, COLON, BACKSLASH] = [0x22, 0x2c, 0x3a, 0x5c];
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

/**
 * Goes through the text once, before anything is built of it.
 * @returns a name that one object has twice, or null; meaningful where the text is JSON
 * @throws ApiError `invalid-request` for too much
 */
function checkStructure(text: string): string | null {
  const names: Set<string>[] = [];
  let values = 0;
  let outside = 0;
  let lastString = '';
  let repeated: string | null = null;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case QUOTE: {
        const end = closingQuote(text, i);
        lastString = text.slice(i, end + 1);
        i = end;
        break;
      }
      case OPEN_OBJECT:
      case OPEN_LIST:
        names.push(new Set());
        values++;
        break;
      case CLOSE_OBJECT:
      case CLOSE_LIST:
        names.pop();
        break;
      case COMMA:
        values++;
        break;
      case COLON: {
        const known = names.at(-1);
        const name = lastString.includes('\\') ? unescaped(lastString) : lastString.slice(1, -1);
        if (known?.has(name)) repeated ??= name;
        known?.add(name);
        break;
      }
    }
    if (names.length > MAX_DEPTH) throw tooMuch(`is nested deeper than ${MAX_DEPTH} levels`);
    if (values > MAX_VALUES) throw tooMuch(`has more than ${MAX_VALUES} values`);
    if (++outside > MAX_OUTSIDE) {
      throw tooMuch(`has more than ${MAX_OUTSIDE} characters outside of its strings`);
    }
  }
  return repeated;
}

/** A name may have its letters as escapes. @param text with its quotes; what is no JSON is refused later */
function unescaped(text: string): string {
  try {
    return String(JSON.parse(text));
  } catch {
    return text;
  }
}

function tooMuch(what: string): ApiError {
  return new ApiError('invalid-request', `The body ${what}.`);
}

/** Index of the quote that ends the string that begins at `start`, or the end of the text. */
function closingQuote(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return text.length;
}

/** Without members that are null. @throws ApiError `invalid-request` for half a character */
function cleaned(value: unknown, path: readonly string[]): unknown {
  if (typeof value === 'string') {
    if (value.isWellFormed()) return value;
    const field = shownName(path.join('.'));
    const detail = `${field}: has half of a surrogate pair, which is no character.`;
    throw new ApiError('invalid-request', detail, { field });
  }
  if (Array.isArray(value)) return value.map((entry, i) => cleaned(entry, [...path, String(i)]));
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).filter(([, member]) => member !== null);
  return Object.fromEntries(
    members.map(([name, member]) => [name, cleaned(member, [...path, name])]),
  );
}
