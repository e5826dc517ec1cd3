/**
 * What a body costs the isolate, as far as that is known before it is done: by its bytes, and by how many values, parts and
 * characters of text there are. Milliseconds of a small machine; wrong by some times, and right about what is dear. It says only
 * whether a body takes turns: how long others wait follows from what it really took.
 */
import { Buffer } from 'node:buffer';
import { sniff } from '@blip2/shared/image-format';
import type { HeaderValue } from './header-value.ts';
import { IMAGE_MEMBERS } from './json-structure.ts';
import { MAX_PARTS } from './multipart.ts';

/** Of each megabyte that is inflated, or copied, decoded and hashed, as those of images in JSON are. */
const MS_PER_MEGABYTE = 5;
/** Of each of an image that is the body, which is only hashed and copied. */
const MS_PER_IMAGE_MEGABYTE = 3;
/** To parse a value of JSON that has a name, and to check it. */
const MS_PER_VALUE = 0.005;
/** To read the head of a part, and to make a value of it. */
const MS_PER_PART = 0.03;
/** Of each character of a text that becomes tokens. */
const MS_PER_CHARACTER = 0.001;

/** More values than a body may have. */
const MAX_COUNTED = 10_000;
const COMMA = ','.charCodeAt(0);

/** `remedy`: what to send instead, where it cannot be done now. */
export type BodyCost = { ms: number; remedy: string };

/** @param bytes that come of it at most */
export function inflatingCost(bytes: number): BodyCost {
  return { ms: megabytes(bytes), remedy: 'a smaller body' };
}

/** @param type its `Content-Type`: of a form with files, the parts count */
export function parsingCost(body: Uint8Array, { value: type, parameters }: HeaderValue): BodyCost {
  const isJson = mayBeJson(body, parameters.get('charset'));
  // Commas of an image say nothing.
  if (!isJson && sniff(body).kind === 'image') {
    return { ms: (MS_PER_IMAGE_MEGABYTE * body.length) / 1e6, remedy: 'a smaller image' };
  }
  const boundary = parameters.get('boundary');
  const isForm = type === 'multipart/form-data' && boundary !== undefined;
  const ofBytes = megabytes(body.length);
  // Some routes read JSON whatever it is called.
  const ofValues = isJson ? MS_PER_VALUE * countValues(body) : 0;
  const ofParts = isForm ? MS_PER_PART * countParts(body, `--${boundary}`) : 0;
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

/**
 * Whether there is something to parse: of what begins as no object and no list, nothing is read beyond that. White space and the empty
 * halves of UTF-16 aside; texts in some other charsets begin with an escape sequence.
 */
function mayBeJson(body: Uint8Array, charset = 'utf-8'): boolean {
  if (!/^utf-?8$/i.test(charset)) return true;
  const first = body.find((byte) => byte > SPACE && !BYTE_ORDER_MARKS.has(byte));
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

/** A native search, so that megabytes of a file cost nothing. */
function countParts(body: Uint8Array, delimiter: string): number {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length);
  let count = 0;
  let at = bytes.indexOf(delimiter);
  while (at !== -1 && count < MAX_PARTS) {
    count++;
    at = bytes.indexOf(delimiter, at + 1);
  }
  return count;
}

function charactersOf(value: unknown): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return 0;
  let sum = 0;
  for (const [name, member] of Object.entries(value)) {
    if (typeof member !== 'string' || !IMAGE_MEMBERS.has(name)) sum += charactersOf(member);
  }
  return sum;
}
