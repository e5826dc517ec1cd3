/**
 * What a body costs the isolate, as far as that is known before it is done: by its bytes, and by how many values, parts and
 * characters of text there are. Milliseconds of a small machine; wrong by some times, and right about what is dear. It says only
 * whether a body takes turns: how long others wait follows from what it really took.
 */
import { Buffer } from 'node:buffer';
import { beginsAsImage, isBase64Image } from '@blip2/shared/image-text';
import { atOnce, type Steps } from '../pauses.ts';
import { isDear } from '../turns/dear-work.ts';
import {
  encodedJsonMs,
  HEAD_BYTES,
  jsonMs,
  MOST_JSON_MS,
  MS_PER_VALUE,
  mayBeJson,
} from './json-cost.ts';
import { EITHER_MEMBERS, IMAGE_MEMBERS } from './json-structure.ts';
import { MAX_BOUNDARY_LENGTH, MAX_HEADER_BYTES, MAX_PARTS } from './multipart.ts';
import { STEP_BYTES } from './walked-bytes.ts';

/** Of each megabyte that is inflated, or copied, decoded and hashed, as those of images in JSON are. */
const MS_PER_MEGABYTE = 5;
/** Of each of an image that is the body, which is only hashed and copied. */
const MS_PER_IMAGE_MEGABYTE = 3;
/** To read the head of a part, and to make a value of it. */
const MS_PER_PART = 0.03;
/** To read a pair of a query or a form, and each byte of its name, which may be places within places. */
const MS_PER_PAIR = 0.005;
const MS_PER_NAME_BYTE = 0.0002;
/** Of each character of a text that becomes tokens. */
const MS_PER_CHARACTER = 0.001;

/** A longer name is refused before it is taken apart: percent-encoded. */
const MAX_NAME_BYTES = 256 * 12;
const [AMPERSAND, EQUALS] = [0x26, 0x3d];
/** First bytes of GIF, WebP, PNG, which begin JSON in no charset. */
const OF_IMAGES = new Set([0x47, 0x52, 0x89]);

/** `remedy`: what to send instead, where it cannot be done now. */
export type BodyCost = { ms: number; remedy: string };

/** @param bytes that come of it at most */
export function inflatingCost(bytes: number): BodyCost {
  return { ms: megabytes(bytes), remedy: 'a smaller body' };
}

/** @param search a query, with or without its question mark */
export function queryCost(search: string): BodyCost {
  return { ms: atOnce(pairsCost(Buffer.from(search))), remedy: 'a shorter query' };
}

/** Of a body that is an image, whatever its bytes say: it is only copied and hashed. */
export function imageCost(body: Uint8Array): BodyCost {
  return { ms: (MS_PER_IMAGE_MEGABYTE * body.length) / 1e6, remedy: 'a smaller image' };
}

/** Of a body that becomes one text. */
export function textCost(body: Uint8Array): BodyCost {
  return { ms: megabytes(body.length), remedy: 'a smaller body' };
}

/** Of a body that is read as JSON, which it need not be. */
export function jsonCost(body: Uint8Array, charset?: string): Steps<BodyCost> {
  return costOf(body, function* () {
    return [yield* jsonMs(body, charset), 'fewer values'];
  });
}

/** Of a form with files. @param boundary as `Content-Type` names it */
export function formCost(body: Uint8Array, boundary: string | undefined): Steps<BodyCost> {
  return costOf(body, function* () {
    // One that is longer is refused; looking for it would take a time that grows with its length.
    const isRead = boundary !== undefined && boundary.length <= MAX_BOUNDARY_LENGTH;
    const { parts, ofJson } = isRead
      ? yield* countParts(body, `--${boundary}`)
      : { parts: 0, ofJson: 0 };
    const ofParts = MS_PER_PART * parts;
    return [ofParts + ofJson, ofParts > ofJson ? 'fewer parts' : 'fewer values'];
  });
}

/** Of a form without files. */
export function urlEncodedCost(body: Uint8Array): Steps<BodyCost> {
  return costOf(body, function* () {
    return [yield* pairsCost(bufferOf(body)), 'fewer parts'];
  });
}

/** @param counted what is in it costs beside its bytes, milliseconds, and what would be less; that of a body which is dear anyway is not counted */
function* costOf(
  body: Uint8Array,
  counted: () => Steps<[ms: number, remedy: string]>,
): Steps<BodyCost> {
  const ofBytes = megabytes(body.length);
  const [ms, remedy] = isDear(ofBytes) ? [0, ''] : yield* counted();
  return { ms: ofBytes + ms, remedy: ofBytes > ms ? 'smaller images' : remedy };
}

/** @param parsed what was made of a body: all texts in it that are no images */
export function tokenizingCost(parsed: unknown): BodyCost {
  return { ms: MS_PER_CHARACTER * charactersOf(parsed), remedy: 'fewer or shorter texts' };
}

function megabytes(bytes: number): number {
  return (MS_PER_MEGABYTE * bytes) / 1e6;
}

/** Native searches, so that megabytes of a file cost nothing. @returns `ofJson`: milliseconds of JSON in fields */
function* countParts(
  body: Uint8Array,
  delimiter: string,
): Steps<{ parts: number; ofJson: number }> {
  const bytes = bufferOf(body);
  // It names the charset of all other fields.
  const charset = bytes.includes('_charset_') ? 'another' : undefined;
  let [parts, ofJson] = [0, 0];
  let at = bytes.indexOf(delimiter);
  while (at !== -1 && parts < MAX_PARTS) {
    parts++;
    const next = bytes.indexOf(delimiter, at + 1);
    const part = bytes.subarray(at, next === -1 ? bytes.length : next);
    if (ofJson < MOST_JSON_MS) ofJson += yield* ofPart(part, charset);
    yield Math.min(part.length, STEP_BYTES) / 8;
    at = next;
  }
  return { parts, ofJson: Math.min(ofJson, MOST_JSON_MS) };
}

/** What JSON in a part costs, milliseconds; a file is not searched. */
function* ofPart(part: Buffer, ofOthers: string | undefined): Steps<number> {
  const head = part.subarray(0, MAX_HEADER_BYTES).toString('latin1');
  const [end] = /\n[ \t\r]*\n/.exec(head) ?? [];
  if (end === undefined) return 0;
  const fields = head.slice(0, head.indexOf(end));
  const content = part.subarray(head.indexOf(end) + end.length);
  const isJson = /json/i.test(fields);
  if (/transfer-encoding:\s*(base64|quoted)/i.test(fields)) {
    // What is encoded shows only whether it is an image.
    const isImage = !isJson && isBase64Image(content.toString('latin1', 0, HEAD_BYTES));
    return isImage ? 0 : (MS_PER_VALUE * content.length) / 3;
  }
  const [first = 0, second] = content;
  if (!isJson && (OF_IMAGES.has(first) || (first === 0xff && second === 0xd8))) return 0;
  const charset = /charset(?!\s*=\s*"?utf-?8)/i.test(fields) ? 'another' : ofOthers;
  const mayBe = isJson || charset !== undefined || (yield* mayBeJson(content));
  return mayBe ? yield* jsonMs(content, charset) : 0;
}

/** What a query or a form costs, whose pairs have `&` between them: values may be JSON, encoded or not. */
function* pairsCost(bytes: Buffer): Steps<number> {
  let [pairs, nameBytes, ofJson] = [0, 0, 0];
  for (let start = 0; start < bytes.length && pairs <= MAX_PARTS; pairs++) {
    const ampersand = bytes.indexOf(AMPERSAND, start);
    const end = ampersand === -1 ? bytes.length : ampersand;
    const pair = bytes.subarray(start, end);
    const equals = pair.indexOf(EQUALS);
    nameBytes += Math.min(equals === -1 ? pair.length : equals, MAX_NAME_BYTES);
    if (equals !== -1 && ofJson < MOST_JSON_MS) {
      ofJson += yield* encodedJsonMs(pair.subarray(equals + 1));
    }
    yield Math.min(pair.length, STEP_BYTES) / 8;
    start = end + 1;
  }
  return MS_PER_PAIR * pairs + MS_PER_NAME_BYTE * nameBytes + Math.min(ofJson, MOST_JSON_MS);
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
