/**
 * What a body costs the isolate, as far as that is known before it is done: by its bytes, and by how many values, parts and
 * characters of text there are. Milliseconds of a small machine; wrong by some times, and right about what is dear. It says only
 * whether a body takes turns: how long others wait follows from what it really took.
 */
import { Buffer } from 'node:buffer';
import { sniff } from '@blip2/shared/image-format';
import { beginsAsImage, isBase64Image } from '@blip2/shared/image-text';
import type { HeaderValue } from './header-value.ts';
import { EITHER_MEMBERS, IMAGE_MEMBERS } from './json-structure.ts';
import { MAX_BOUNDARY_LENGTH, MAX_HEADER_BYTES, MAX_PARTS } from './multipart.ts';

/** Of each megabyte that is inflated, or copied, decoded and hashed, as those of images in JSON are. */
const MS_PER_MEGABYTE = 5;
/** Of each of an image that is the body, which is only hashed and copied. */
const MS_PER_IMAGE_MEGABYTE = 3;
/** To parse a value of JSON that has a name, and to check it. */
const MS_PER_VALUE = 0.005;
/** To read the head of a part, and to make a value of it. */
const MS_PER_PART = 0.03;
/** To read a pair of a query or a form, and each byte of its name, which may be places within places. */
const MS_PER_PAIR = 0.005;
const MS_PER_NAME_BYTE = 0.0002;
/** Of each character of a text that becomes tokens. */
const MS_PER_CHARACTER = 0.001;

/** A longer name is refused before it is taken apart: percent-encoded. */
const MAX_NAME_BYTES = 256 * 12;
/** Bytes by which an image is recognized in base64. */
const HEAD_BYTES = 512;
/** More values than a body may have. */
const MAX_COUNTED = 10_000;
const [COMMA, AMPERSAND, EQUALS] = [0x2c, 0x26, 0x3d];

/** `remedy`: what to send instead, where it cannot be done now. */
export type BodyCost = { ms: number; remedy: string };

/** @param bytes that come of it at most */
export function inflatingCost(bytes: number): BodyCost {
  return { ms: megabytes(bytes), remedy: 'a smaller body' };
}

/** @param search a query, with or without its question mark */
export function queryCost(search: string): BodyCost {
  return { ms: pairsCost(Buffer.from(search)), remedy: 'a shorter query' };
}

/** @param type its `Content-Type`: of a form with files, the parts count */
export function parsingCost(body: Uint8Array, { value: type, parameters }: HeaderValue): BodyCost {
  const isJson = mayBeJson(body, parameters.get('charset'));
  // Commas of an image say nothing.
  if (!isJson && sniff(body).kind === 'image') {
    return { ms: (MS_PER_IMAGE_MEGABYTE * body.length) / 1e6, remedy: 'a smaller image' };
  }
  const boundary = parameters.get('boundary');
  // One that is longer is refused; looking for it would take a time that grows with its length.
  const isForm =
    type === 'multipart/form-data' &&
    boundary !== undefined &&
    boundary.length <= MAX_BOUNDARY_LENGTH;
  const ofBytes = megabytes(body.length);
  const inForm = isForm ? countParts(body, `--${boundary}`) : { parts: 0, values: 0 };
  // Some routes read JSON whatever it is called.
  const ofValues = MS_PER_VALUE * Math.max(isJson ? countValues(body) : 0, inForm.values);
  const isPairs = type === 'application/x-www-form-urlencoded' && !isJson;
  const ofParts = MS_PER_PART * inForm.parts + (isPairs ? pairsCost(bufferOf(body)) : 0);
  const ms = ofBytes + ofValues + ofParts;
  if (ofBytes > ofValues + ofParts) return { ms, remedy: 'smaller images' };
  return { ms, remedy: ofParts > ofValues ? 'fewer parts' : 'fewer values' };
}

/** @param parsed what was made of a body: all texts in it that are no images */
export function tokenizingCost(parsed: unknown): BodyCost {
  return { ms: MS_PER_CHARACTER * charactersOf(parsed), remedy: 'fewer or shorter texts' };
}

function megabytes(bytes: number): number {
  return (MS_PER_MEGABYTE * bytes) / 1e6;
}

const [SPACE, OPEN_LIST, OPEN_OBJECT] = [0x20, 0x5b, 0x7b];
const BYTE_ORDER_MARKS = new Set([0xef, 0xbb, 0xbf, 0xfe, 0xff]);

const isBlank = (byte: number) => byte <= SPACE || BYTE_ORDER_MARKS.has(byte);

/**
 * Whether there is something to parse: of what begins as no object and no list, nothing is read beyond that. White space and the empty
 * halves of UTF-16 aside; texts in some other charsets begin with an escape sequence.
 */
function mayBeJson(body: Uint8Array, charset = 'utf-8'): boolean {
  if (!/^utf-?8$/i.test(charset)) return true;
  let at = 0;
  while (at < body.length && isBlank(body[at] as number)) at++;
  const first = body[at];
  return first === OPEN_OBJECT || first === OPEN_LIST;
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

/** Native searches, so that megabytes of a file cost nothing. @returns `values`: of JSON in fields */
function countParts(body: Uint8Array, delimiter: string): { parts: number; values: number } {
  const bytes = bufferOf(body);
  let [parts, values] = [0, 0];
  let at = bytes.indexOf(delimiter);
  while (at !== -1 && parts < MAX_PARTS) {
    parts++;
    const next = bytes.indexOf(delimiter, at + 1);
    const part = bytes.subarray(at, next === -1 ? bytes.length : next);
    if (values < MAX_COUNTED) values += valuesIn(part);
    at = next;
  }
  return { parts, values: Math.min(values, MAX_COUNTED) };
}

/** Of a part that may be JSON; a file is not searched to its end. */
function valuesIn(part: Buffer): number {
  const head = part.subarray(0, MAX_HEADER_BYTES).toString('latin1');
  const [end] = /\n[ \t\r]*\n/.exec(head) ?? [];
  if (end === undefined) return 0;
  const content = part.subarray(head.indexOf(end) + end.length);
  if (/transfer-encoding:\s*(base64|quoted)/i.test(head)) {
    // What is encoded shows only whether it is an image.
    return isBase64Image(content.toString('latin1', 0, HEAD_BYTES)) ? 0 : content.length / 3;
  }
  const charset = /charset(?!\s*=\s*"?utf-?8)/i.test(head) ? 'another' : 'utf-8';
  return mayBeJson(content, charset) ? countValues(content) : 0;
}

/** What a query or a form costs, whose pairs have `&` between them: values may be JSON, encoded or not. */
function pairsCost(bytes: Buffer): number {
  let [pairs, nameBytes] = [0, 0];
  for (let start = 0; start < bytes.length && pairs <= MAX_PARTS; pairs++) {
    const ampersand = bytes.indexOf(AMPERSAND, start);
    const end = ampersand === -1 ? bytes.length : ampersand;
    const pair = bytes.subarray(start, end);
    const equals = pair.indexOf(EQUALS);
    nameBytes += Math.min(equals === -1 ? pair.length : equals, MAX_NAME_BYTES);
    start = end + 1;
  }
  const encoded = count(bytes, '%2C') + count(bytes, '%2c');
  const values = Math.min(countValues(bytes) + encoded, MAX_COUNTED);
  return MS_PER_PAIR * pairs + MS_PER_NAME_BYTE * nameBytes + MS_PER_VALUE * values;
}

function count(bytes: Buffer, what: string): number {
  let found = 0;
  for (let at = bytes.indexOf(what); at !== -1; at = bytes.indexOf(what, at + what.length)) {
    if (++found === MAX_COUNTED) break;
  }
  return found;
}

function bufferOf({ buffer, byteOffset, length }: Uint8Array): Buffer {
  return Buffer.from(buffer as ArrayBuffer, byteOffset, length);
}

/** @param name of the member that a value is of, or that a list around it is of */
function charactersOf(value: unknown, name = ''): number {
  if (typeof value === 'string') return isImage(value, name) ? 0 : value.length;
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return 0;
  let sum = 0;
  for (const [key, member] of Object.entries(value)) {
    sum += charactersOf(member, Array.isArray(value) ? name : key);
  }
  return sum;
}

function isImage(text: string, name: string): boolean {
  // A prompt is a text, however it begins.
  if (name === 'prompt') return false;
  return IMAGE_MEMBERS.has(name) || (EITHER_MEMBERS.has(name) && beginsAsImage(text));
}
