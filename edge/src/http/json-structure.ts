/** Goes through JSON text once, before anything is built of it: its limits, its names, and the strings that are images. */
import { ApiError } from '@blip2/shared/errors';
import { beginsAsImage } from '@blip2/shared/image-text';
import { shownName } from '@blip2/shared/validate';
import { JsonTotal } from './json-total.ts';

/** Far beyond any request; the parser needs memory for each. */
const MAX_DEPTH = 32;
export const MAX_VALUES = 10_000;
/** All that is no image: punctuation, white space, names, numbers, texts. */
export const MAX_BYTES = 2 ** 20;
/** Bytes of one text, escapes included: no context holds as many. */
export const MAX_TEXT_BYTES = 2 ** 16;
const MAX_NAME_BYTES = 1024;

/** Members, here and in the dialects of others, in which an image is sent: as base64, or as a `data:` URL. */
export const IMAGE_MEMBERS = new Set([
  'image',
  'images',
  'data',
  'url',
  'image_url',
  'file_data',
  'file_url',
]);

/** Members in which other services have texts, and images as well. */
export const EITHER_MEMBERS = new Set(['input', 'inputs', 'prompt']);

/** A string too long for a text: from its first byte to its closing quote, without both. */
export type LongString = { start: number; end: number };

export type Structure = {
  /** In their order. */
  long: LongString[];
  /** A name that one object has twice, or null; meaningful where the text is JSON. */
  repeated: string | null;
};

/** An object or a list that is open. */
type Level = { names: Set<string>; name: string; index: number | null };

/** One for all: a body has thousands of names. */
const UTF8 = new TextDecoder();
const LATIN1 = new TextDecoder('latin1');

const [QUOTE, COMMA, COLON, BACKSLASH] = [0x22, 0x2c, 0x3a, 0x5c];
const WHITE_SPACE = new Set([0x20, 0x09, 0x0a, 0x0d]);
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

/**
 * @param bytes UTF-8
 * @param field of the request that the text is, where it is not the body
 * @param total of the texts that were read before it, where it is not alone
 * @throws ApiError `invalid-request` for too much of anything, with the limit and what was found until it was given up
 */
export function checkStructure(
  bytes: Uint8Array,
  field?: string,
  total = new JsonTotal(),
): Structure {
  const levels: Level[] = [];
  const long: LongString[] = [];
  const what = field === undefined ? 'The body' : shownName(field);
  const tooMuch = (how: string, limit: number, actual: number) => {
    const where = field === undefined ? {} : { field: shownName(field) };
    return new ApiError('invalid-request', `${what} ${how}.`, { ...where, limit, actual });
  };
  const expectFewBytes = (count: number) => {
    if (count > MAX_BYTES) {
      throw tooMuch(`has more than ${MAX_BYTES} bytes besides its image`, MAX_BYTES, count);
    }
    total.expectFew('bytes', count, MAX_BYTES);
  };
  /** Asked for each byte: all else that is done for most of them is nothing. */
  const mostOthers = MAX_BYTES - total.bytes;
  let repeated: string | null = null;
  let [values, names] = [0, 0];
  const expectFewValues = (count: number) => {
    if (count > MAX_VALUES) throw tooMuch(`has more than ${MAX_VALUES} values`, MAX_VALUES, count);
    total.expectFew('values', count, MAX_VALUES);
  };
  let [longBytes, others] = [0, 0];
  /** The last string, until a colon makes a name of it. */
  let last: LongString | undefined;
  let isBroken = false;
  for (let at = 0; at < bytes.length; at++) {
    switch (bytes[at]) {
      case QUOTE: {
        const end = closingQuote(bytes, at);
        last = { start: at + 1, end };
        const length = end - at - 1;
        if (length > MAX_TEXT_BYTES) {
          // A name is refused at its colon: here it would pass for the text of the member before it.
          const isImage = levels.length > 0 && mayBeImage(levels, bytes.subarray(at + 1, end));
          if (!isImage && !isName(bytes, end)) throw tooLong(levels, field, length);
          long.push(last);
          longBytes += length;
        }
        at = end;
        break;
      }
      case OPEN_OBJECT:
      case OPEN_LIST:
        levels.push({
          names: new Set(),
          name: '',
          index: bytes[at] === OPEN_LIST ? 0 : null,
        });
        expectFewValues(++values);
        if (levels.length > MAX_DEPTH) {
          throw tooMuch(`is nested deeper than ${MAX_DEPTH} levels`, MAX_DEPTH, levels.length);
        }
        break;
      case CLOSE_OBJECT:
      case CLOSE_LIST:
        levels.pop();
        break;
      case COMMA: {
        expectFewValues(++values);
        const level = levels.at(-1);
        if (level?.index != null) level.index++;
        break;
      }
      case COLON: {
        // Each is of a value, in JSON; what is none may have a million.
        expectFewValues(++names);
        // Of no name: it is no JSON.
        if (last === undefined) break;
        const string = bytes.subarray(last.start, last.end);
        last = undefined;
        if (string.length > MAX_NAME_BYTES) {
          const beginning = string.subarray(0, MAX_NAME_BYTES);
          const name = shownName(nameOf(beginning) ?? UTF8.decode(beginning));
          const how = `has a name, ${name}, of more than ${MAX_NAME_BYTES} bytes`;
          throw tooMuch(how, MAX_NAME_BYTES, string.length);
        }
        const level = levels.at(-1);
        if (level === undefined) break;
        // Exceptions are dear: where one name is no JSON, the text is none.
        const name: string | null = isBroken ? null : nameOf(string);
        isBroken ||= name === null;
        level.name = name ?? UTF8.decode(string);
        if (level.names.has(level.name)) repeated ??= level.name;
        level.names.add(level.name);
        break;
      }
    }
    others = Math.min(at, bytes.length) - longBytes;
    if (others > mostOthers) expectFewBytes(others);
  }
  total.values += Math.max(values, names);
  total.bytes += others;
  return { long, repeated };
}

/** Whether a colon follows a string. @param end where its closing quote is */
function isName(bytes: Uint8Array, end: number): boolean {
  let at = end + 1;
  while (WHITE_SPACE.has(bytes[at] ?? 0)) at++;
  return bytes[at] === COLON;
}

/** Whether a string is of a member for images, or in a list that is; where texts are, too, whether it begins as an image. */
function mayBeImage(levels: readonly Level[], string: Uint8Array): boolean {
  const { name = '' } = levels.findLast(({ index }) => index === null) ?? {};
  if (IMAGE_MEMBERS.has(name)) return true;
  return EITHER_MEMBERS.has(name) && beginsAsImage(headOf(string));
}

/** Bytes at the beginning of a string that tell what it is. */
const HEAD_BYTES = 512;

/** The beginning of a string of JSON; some encoders escape every slash. */
function headOf(string: Uint8Array): string {
  const head = LATIN1.decode(string.subarray(0, HEAD_BYTES));
  return head.replaceAll(/\\([/nrt])/g, (_, escaped) => (escaped === '/' ? '/' : ' '));
}

function tooLong(levels: readonly Level[], within: string | undefined, actual: number): ApiError {
  const path = levels.map(({ index, name }) => index ?? name);
  const field = shownName([...(within === undefined ? [] : [within]), ...path].join('.'));
  return textTooLong(field, actual);
}

/** @param actual bytes */
export function textTooLong(field: string, actual: number): ApiError {
  const detail = `${field || 'The body'}: has ${actual} bytes; a text has at most ${MAX_TEXT_BYTES}.`;
  return new ApiError('invalid-request', detail, { field, limit: MAX_TEXT_BYTES, actual });
}

/** A name may have its letters as escapes. @param text without its quotes @returns null for what is no JSON */
function nameOf(text: Uint8Array): string | null {
  const name = UTF8.decode(text);
  if (!name.includes('\\')) return name;
  try {
    return String(JSON.parse(`"${name}"`));
  } catch {
    return null;
  }
}

/** A native search has a price of its own: not for each of millions of short strings, or of escaped quotes. */
const NEAR = 64;

/**
 * Index of the quote that ends the string that begins at `start`, or the end of the text.
 * @param until index before which it is looked for, byte by byte
 * @returns where it was not found until then, that index or one more, negative: whoever goes on there begins one before it
 */
export function closingQuote(
  bytes: Uint8Array,
  start: number,
  until = Number.POSITIVE_INFINITY,
): number {
  let at = start + 1;
  for (;;) {
    const most = Math.min(bytes.length, until);
    for (let near = at + NEAR; at < near && at < most; at++) {
      if (bytes[at] === QUOTE) return at;
      if (bytes[at] !== BACKSLASH) continue;
      // What follows is escaped, and more such may follow it.
      at++;
      near = at + NEAR;
    }
    if (at >= until && at < bytes.length) return -at;
    const end = at < bytes.length ? bytes.indexOf(QUOTE, at) : -1;
    if (end === -1) return bytes.length;
    let backslashes = 0;
    while (end - backslashes > at && bytes[end - 1 - backslashes] === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return end;
    at = end + 1;
  }
}
