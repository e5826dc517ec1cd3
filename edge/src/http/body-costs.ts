/**
 * What a body costs the isolate at least, as far as that is known before it is done: by its bytes, and by how many values, parts
 * and characters of text there are. Milliseconds of a small machine; wrong by some times, and right about what is dear.
 */
import { Buffer } from 'node:buffer';
import { sniff } from '@blip2/shared/image-format';
import type { HeaderValue } from './header-value.ts';
import { IMAGE_MEMBERS } from './json-structure.ts';
import { MAX_PARTS } from './multipart.ts';

/** Of each megabyte that is inflated, or copied, decoded and hashed, as those of images are. */
const MS_PER_MEGABYTE = 5;
/** To parse a value of JSON, and to check it. */
const MS_PER_VALUE = 0.01;
/** To read the head of a part, and to make a value of it. */
const MS_PER_PART = 0.1;
/** Of each character of a text that becomes tokens. */
const MS_PER_CHARACTER = 0.001;

/** More values than a body may have. */
const MAX_COUNTED = 10_000;
const COMMA = ','.charCodeAt(0);

/** @param bytes that come of it at most */
export function inflatingMs(bytes: number): number {
  return megabytes(bytes);
}

/** @param type its `Content-Type`: of a form with files, the parts count */
export function parsingMs(body: Uint8Array, { value: type, parameters }: HeaderValue): number {
  const copied = megabytes(body.length);
  const boundary = parameters.get('boundary');
  if (type === 'multipart/form-data' && boundary !== undefined) {
    return copied + MS_PER_PART * countOf(body, Buffer.from(`--${boundary}`), MAX_PARTS);
  }
  // Commas of an image say nothing.
  const isImage = sniff(body).kind === 'image';
  return isImage ? copied : copied + MS_PER_VALUE * countOf(body, COMMA, MAX_COUNTED);
}

/** @param parsed what was made of a body: all texts in it that are no images */
export function tokenizingMs(parsed: unknown): number {
  return MS_PER_CHARACTER * charactersOf(parsed);
}

function megabytes(bytes: number): number {
  return (MS_PER_MEGABYTE * bytes) / 1e6;
}

/** How often something occurs; a native search, so that megabytes without it cost nothing. */
function countOf(body: Uint8Array, what: number | Buffer, most: number): number {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length);
  let count = 0;
  let at = bytes.indexOf(what);
  while (at !== -1 && count < most) {
    count++;
    at = bytes.indexOf(what, at + 1);
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
