/**
 * Reads JSON strictly: bounded, each name once, whole characters, no `__proto__`, and null as absent. An image in it may have
 * megabytes, which are never in memory as a part of the whole text: the rest is parsed without them.
 */
import { ApiError } from '@blip2/shared/errors';
import { shownName } from '@blip2/shared/validate';
import { decodeText, type TextSource, toUtf8 } from './decode-text.ts';
import { checkStructure, type LongString } from './json-structure.ts';
import type { JsonTotal } from './json-total.ts';

/**
 * The members of a JSON object. A member that is null is absent, in nested objects too.
 * @param charset of `Content-Type`, where it names one
 * @param nullable names of members that may be null, where that says something
 * @throws ApiError `invalid-json`, `invalid-request`, and what `decodeText` throws
 * @example parseJsonObject(new TextEncoder().encode('{"seed": null, "n": 2}')) // { n: 2 }
 */
export function parseJsonObject(
  bytes: Uint8Array,
  charset?: string,
  nullable: readonly string[] = [],
): Record<string, unknown> {
  const value = parseBytes(bytes, charset, { nullable });
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
 * A JSON value, as strictly.
 * @param field that the text is
 * @param total of such texts of one form
 * @throws ApiError `invalid-json`, `invalid-request`
 */
export function parseJsonValue(text: string, field?: string, total?: JsonTotal): unknown {
  return parseJsonBytes(new TextEncoder().encode(text), undefined, field, total);
}

/**
 * A JSON value, as strictly.
 * @param field that the bytes are, where they are not the body
 * @param total of such texts of one form
 * @throws ApiError `invalid-json`, `invalid-request`, and what `decodeText` throws
 */
export function parseJsonBytes(
  bytes: Uint8Array,
  charset?: string,
  field?: string,
  total?: JsonTotal,
): unknown {
  return parseBytes(bytes, charset, { field, nullable: [], total });
}

function parseBytes(
  bytes: Uint8Array,
  charset: string | undefined,
  {
    field,
    nullable,
    total,
  }: { field?: string | undefined; nullable: readonly string[]; total?: JsonTotal | undefined },
): unknown {
  const name = field === undefined ? undefined : shownName(field);
  const where = name === undefined ? {} : { field: name };
  const source: TextSource = { what: name ?? 'The body', slug: 'invalid-json', ...where };
  const utf8 = toUtf8(bytes, charset, source, total);
  const { long, repeated } = checkStructure(utf8, field, total);
  const invalid = (why: string, cause?: unknown) =>
    new ApiError('invalid-json', `${source.what} is not valid JSON${why}.`, { ...where, cause });
  const images = new Map<string, string>();
  const mark = long.length === 0 ? '' : crypto.randomUUID();
  const rest = withoutLong(utf8, long, mark);
  const text = decodeText(rest, undefined, source);
  let value: unknown;
  try {
    value = JSON.parse(text);
    for (const [i, { start, end }] of long.entries()) {
      images.set(mark + i, decodeString(utf8.subarray(start, end), source));
    }
  } catch (cause) {
    if (cause instanceof ApiError) throw cause;
    throw invalid(cause instanceof Error ? `: ${cause.message.slice(0, 150)}` : '', cause);
  }
  if (repeated !== null) {
    const twice = shownName(repeated);
    throw new ApiError('invalid-request', `${twice} is given twice.`, { field: twice });
  }
  return cleaned(value, images, { path: field === undefined ? [] : [field], nullable });
}

/** The text with a short string in place of each long one: `mark`, which no sender can know, and its number. */
function withoutLong(utf8: Uint8Array, long: readonly LongString[], mark: string): Uint8Array {
  if (long.length === 0) return utf8;
  const encoder = new TextEncoder();
  const parts: Uint8Array[] = [];
  let from = 0;
  for (const [i, { start, end }] of long.entries()) {
    parts.push(utf8.subarray(from, start), encoder.encode(mark + i));
    from = end;
  }
  parts.push(utf8.subarray(from));
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let length = 0;
  for (const part of parts) {
    whole.set(part, length);
    length += part.length;
  }
  return whole;
}

/** @throws SyntaxError for what is no string of JSON */
function decodeString(bytes: Uint8Array, source: TextSource): string {
  const text = decodeText(bytes, undefined, source);
  if (bytes.includes(BACKSLASH)) return String(JSON.parse(`"${text}"`));
  // biome-ignore lint/suspicious/noControlCharactersInRegex: JSON has them as escapes only
  if (/[\0-\x1f]/.test(text)) throw new SyntaxError('a line break or control character in a text');
  return text;
}

const BACKSLASH = 0x5c;

/** Schemas that let any member pass drop this one, since it would change what an object is; no field has this name. */
const PROTOTYPE = '__proto__';

/**
 * Without members that are null, unless `nullable` names them, and with the long strings in the places of their marks.
 * @throws ApiError `invalid-request` for half a character, a number that is read as none, and a member that schemas would drop
 */
function cleaned(
  value: unknown,
  long: ReadonlyMap<string, string>,
  { path, nullable = [] }: { path: readonly string[]; nullable?: readonly string[] },
): unknown {
  if (typeof value === 'string') {
    const text = long.get(value) ?? value;
    if (text.isWellFormed()) return text;
    const field = shownName(path.join('.'));
    const detail = `${field}: has half of a surrogate pair, which is no character.`;
    throw new ApiError('invalid-request', detail, { field });
  }
  if (value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY) {
    const field = shownName(path.join('.'));
    const detail = `${field || 'The body'}: is beyond all numbers that can be read, ±1.8e308.`;
    throw new ApiError('invalid-request', detail, { field });
  }
  if (Array.isArray(value)) {
    return value.map((entry, i) => cleaned(entry, long, { path: [...path, String(i)] }));
  }
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).filter(
    ([name, member]) => member !== null || nullable.includes(name),
  );
  if (members.some(([name]) => name === PROTOTYPE)) {
    const field = shownName([...path, PROTOTYPE].join('.'));
    throw new ApiError('invalid-request', `There is no field ${field}.`, { field });
  }
  return Object.fromEntries(
    members.map(([name, member]) => [name, cleaned(member, long, { path: [...path, name] })]),
  );
}
