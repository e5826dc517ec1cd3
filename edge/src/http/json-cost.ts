/** What JSON costs the isolate, before anything is built of it: by its bytes, and by how many values there are. */
import type { Steps } from '../pauses.ts';
import { hexDigit, MAX_CONVERTED, percentDecode } from './decode-text.ts';
import { jsonSize } from './json-size.ts';
import { MAX_BYTES, MAX_VALUES } from './json-structure.ts';
import { STEP_BYTES, WALKED } from './walked-bytes.ts';

/** To parse a value of JSON that has a name, and to check it. */
export const MS_PER_VALUE = 0.005;
/** Of each megabyte of JSON that is no image, which is looked at byte by byte, beside what all bytes cost. */
const MS_PER_JSON_MEGABYTE = 5;
/** Of each that is converted from another charset. */
const MS_PER_CONVERTED_MEGABYTE = 20;

/** Bytes by which an image is recognized in base64. */
export const HEAD_BYTES = 512;
/** As many values as a body may have. */
const MAX_COUNTED = MAX_VALUES;
/** Of all JSON in a form, which has the limits of a body together. */
export const MOST_JSON_MS =
  MS_PER_VALUE * MAX_COUNTED +
  (MS_PER_JSON_MEGABYTE * MAX_BYTES + MS_PER_CONVERTED_MEGABYTE * MAX_CONVERTED) / 1e6;
const [COMMA, COLON, PERCENT] = [0x2c, 0x3a, 0x25];
const [SPACE, OPEN_LIST, OPEN_OBJECT] = [0x20, 0x5b, 0x7b];

/** White space, and byte order marks, in any charset. */
const isNoBlank = (byte: number) => byte > SPACE && byte < 0x80;

/** Whether there is something to parse: what begins as no object and no list is looked at, and nothing is made of it. */
export function* mayBeJson(body: Uint8Array): Steps<boolean> {
  // Behind more white space than this it is refused.
  const most = Math.min(body.length, MAX_CONVERTED);
  let at = 0;
  for (; at < most && !isNoBlank(body[at] as number); at++) {
    if (at % STEP_BYTES === STEP_BYTES - 1) yield WALKED;
  }
  return body[at] === OPEN_OBJECT || body[at] === OPEN_LIST;
}

/** What is in JSON, beside its bytes. */
export function* jsonMs(body: Uint8Array, charset = 'utf-8'): Steps<number> {
  if (/^(utf-?8)?$/i.test(charset.trim())) {
    const { values, names, bytes } = yield* jsonSize(body);
    const counted = (yield* mayBeJson(body)) ? Math.max(values, names) : names;
    return MS_PER_VALUE * counted + (MS_PER_JSON_MEGABYTE * bytes) / 1e6;
  }
  // Where strings end shows only once it is converted.
  const counted = yield* countMarks(body);
  const converted = Math.min(body.length, MAX_CONVERTED);
  return MS_PER_VALUE * counted + (MS_PER_CONVERTED_MEGABYTE * converted) / 1e6;
}

/**
 * Values or names, whichever are more. A comma ends a value: one that follows another ends none, and the text is no JSON. Where there
 * are very many commas in all, as in texts, nobody counts any further. Byte by byte: a native search for each of thousands costs ten
 * times as much.
 */
function* countMarks(body: Uint8Array): Steps<number> {
  let [values, names, commas, lastComma] = [0, 0, 0, -2];
  let [at, until] = [0, STEP_BYTES];
  for (; at < body.length && values < MAX_COUNTED && names < MAX_COUNTED; at++) {
    if (at >= until) {
      yield WALKED;
      until = at + STEP_BYTES;
    }
    const byte = body[at];
    if (byte === COMMA) {
      if (lastComma !== at - 1) values++;
      lastComma = at;
      if (++commas === 2 * MAX_COUNTED) return MAX_COUNTED;
    } else if (byte === OPEN_LIST || byte === OPEN_OBJECT) values++;
    else if (byte === COLON) names++;
  }
  return Math.max(values, names);
}

/** What a value costs if it is JSON, milliseconds. */
export function* encodedJsonMs(value: Uint8Array): Steps<number> {
  const head = percentDecode(new Uint8Array(value.subarray(0, HEAD_BYTES)), ' ');
  if (head.some(isNoBlank) && !(yield* mayBeJson(head))) return 0;
  let [values, names, lastComma] = [0, 0, -1];
  let [at, until] = [0, STEP_BYTES];
  for (; at < value.length && values < MAX_COUNTED && names < MAX_COUNTED; at++) {
    if (at >= until) {
      yield WALKED;
      until = at + STEP_BYTES;
    }
    const start = at;
    let byte = value[at];
    if (byte === PERCENT) {
      byte = 16 * hexDigit(value[at + 1]) + hexDigit(value[at + 2]);
      at += 2;
    }
    if (byte === COMMA) {
      if (lastComma !== start) values++;
      lastComma = at + 1;
    } else if (byte === OPEN_LIST || byte === OPEN_OBJECT) values++;
    else if (byte === COLON) names++;
  }
  const ofBytes = MS_PER_JSON_MEGABYTE * Math.min(value.length, MAX_BYTES);
  return MS_PER_VALUE * Math.max(values, names) + ofBytes / 1e6;
}
