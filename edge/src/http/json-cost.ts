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
/** What is searched for all its bytes of a kind costs no more than so many that are walked over. */
const MAX_SEARCHED = 2 ** 17;
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
  let values = countValues(body);
  const searched = Math.min(body.length, MAX_SEARCHED) / 8;
  for (const byte of [OPEN_LIST, OPEN_OBJECT]) {
    yield searched;
    values += count(body, byte);
  }
  yield searched;
  const counted = Math.min(Math.max(values, count(body, COLON)), MAX_COUNTED);
  yield searched;
  const converted = Math.min(body.length, MAX_CONVERTED);
  return MS_PER_VALUE * counted + (MS_PER_CONVERTED_MEGABYTE * converted) / 1e6;
}

/**
 * Commas, each of which ends a value: one that follows another ends none, and the text is no JSON. Where there are very many in all,
 * as in texts, nobody counts any further.
 */
function countValues(body: Uint8Array): number {
  let [count, looked, after] = [0, 0, -1];
  for (let at = body.indexOf(COMMA); at !== -1; at = body.indexOf(COMMA, after)) {
    if (at !== after) count++;
    if (count === MAX_COUNTED || ++looked === 2 * MAX_COUNTED) return MAX_COUNTED;
    after = at + 1;
  }
  return count;
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

/** Of a byte that may stand in millions of places. */
function count(bytes: Uint8Array, byte: number): number {
  let found = 0;
  for (let at = bytes.indexOf(byte); at !== -1; at = bytes.indexOf(byte, at + 1)) {
    if (++found === MAX_COUNTED) break;
  }
  return found;
}
