/**
 * Parses multipart/form-data (RFC 7578) as clients write it: names with and without quotes, line ends with and without
 * CR. The platform's own parser refuses what .NET, among others, sends.
 */
import { isUtf8 } from 'node:buffer';
import { ApiError } from '@blip2/shared/errors';
import { shownName } from '@blip2/shared/validate';
import { MAX_ENTRIES } from './form-fields.ts';
import { parseHeaderValue } from './header-value.ts';
import { decodeTransfer } from './transfer-encoding.ts';

/** What a part says of itself. `filename` is absent where it is no file; it may be empty. */
export type PartHead = {
  name: string;
  filename?: string;
  /** In lower case; '' where there is none. */
  type: string;
  charset?: string;
};

/** One part, decoded. */
export type Part = PartHead & { bytes: Uint8Array<ArrayBuffer> };

type Bytes = Uint8Array<ArrayBuffer>;

export const MAX_PARTS = MAX_ENTRIES;
export const MAX_HEADER_BYTES = 8192;
/** Of one part; clients write two or three. */
const MAX_HEADERS = 32;
/** Of all parts together: as many parts as may be, with what clients write. */
const MAX_ALL_HEADERS = 4 * MAX_PARTS;
const MAX_ALL_HEADER_BYTES = 2 ** 20;
const SHORT_LINE = 32;
/** RFC 2046, 5.1.1, says 70. */
export const MAX_BOUNDARY_LENGTH = 200;

const [LF, CR, DASH, SPACE, TAB] = [0x0a, 0x0d, 0x2d, 0x20, 0x09];

/**
 * The parts of a body, in their order. Time grows with the bytes, and the parts are views of them.
 * @param boundary as `Content-Type` names it
 * @throws ApiError `invalid-multipart` that says what is wrong, and in which part
 * @example parseMultipart(bytes, 'x') // [{ name: 'image', filename: 'a.png', type: 'image/png', bytes: … }]
 */
export function parseMultipart(bytes: Bytes, boundary: string | undefined): Part[] {
  const delimiter = delimiterOf(boundary);
  const parts: Part[] = [];
  const seen = noHeaders();
  let found = findDelimiter(bytes, delimiter, 0);
  if (found === null) throw invalid('The body has no line with the boundary of Content-Type.');
  while (!found.isLast) {
    if (parts.length === MAX_PARTS) {
      const limits = { limit: MAX_PARTS, actual: MAX_PARTS + 1 };
      throw invalid(`There are more than ${MAX_PARTS} parts.`, limits);
    }
    const start: number = found.next;
    const next = findDelimiter(bytes, delimiter, start);
    if (next === null) {
      throw invalid(`The body is cut off: part ${parts.length + 1} does not end in a boundary.`);
    }
    parts.push(parsePart(bytes.subarray(start, next.end), parts.length + 1, seen));
    found = next;
  }
  return parts;
}

/** What each line between parts begins with. @throws ApiError `invalid-multipart` */
export function delimiterOf(boundary: string | undefined): Uint8Array {
  if (!boundary) {
    throw invalid('Content-Type has no boundary: let the client library set it, not the program.');
  }
  if (boundary.length > MAX_BOUNDARY_LENGTH) {
    const limits = { limit: MAX_BOUNDARY_LENGTH, actual: boundary.length };
    throw invalid(`The boundary has more than ${MAX_BOUNDARY_LENGTH} characters.`, limits);
  }
  return new TextEncoder().encode(`--${boundary}`);
}

/** `end`: where what stands before it ends. `next`: where the line after it begins. */
type Delimiter = { end: number; next: number; isLast: boolean };

/** The next line that is a delimiter, from an index that begins a line. */
function findDelimiter(bytes: Bytes, delimiter: Uint8Array, from: number): Delimiter | null {
  for (let line = from; line !== -1; line = nextLine(bytes, line)) {
    if (!startsWith(bytes, delimiter, line)) continue;
    let at = line + delimiter.length;
    const isLast = bytes[at] === DASH && bytes[at + 1] === DASH;
    if (isLast) at += 2;
    while (bytes[at] === SPACE || bytes[at] === TAB) at++;
    if (bytes[at] === CR && bytes[at + 1] === LF) at++;
    // Else a longer text that begins as the delimiter does. What follows the last one does not matter.
    if (bytes[at] !== LF && !isLast) continue;
    return { end: endOfLine(bytes, line, from), next: at + 1, isLast };
  }
  return null;
}

/** Where the line after this one begins, or -1. */
function nextLine(bytes: Bytes, from: number): number {
  // A native search has a price of its own: not for each of millions of short lines.
  const near = Math.min(from + SHORT_LINE, bytes.length);
  for (let at = from; at < near; at++) if (bytes[at] === LF) return at + 1;
  const feed = bytes.indexOf(LF, near);
  return feed === -1 ? -1 : feed + 1;
}

/** The end of what stands before a line: its line break belongs to the delimiter. */
function endOfLine(bytes: Bytes, line: number, from: number): number {
  if (line === from) return line;
  return line - 2 >= from && bytes[line - 2] === CR ? line - 2 : line - 1;
}

function startsWith(bytes: Bytes, prefix: Uint8Array, at: number): boolean {
  for (let i = 0; i < prefix.length; i++) if (bytes[at + i] !== prefix[i]) return false;
  return true;
}

function parsePart(bytes: Bytes, number: number, seen: SeenHeaders): Part {
  const { headers, body } = splitHeaders(bytes, number, seen);
  const head = partHead(headers, number);
  const encoding = headers.get('content-transfer-encoding');
  return { ...head, bytes: decodeTransfer(body, encoding, shownName(head.name)) };
}

/** What the headers of a part say. @throws ApiError `invalid-multipart` */
export function partHead(headers: ReadonlyMap<string, string>, number: number): PartHead {
  const disposition = parseHeaderValue(headers.get('content-disposition'));
  const { parameters } = disposition;
  const name = unescapeName(parameters.get('name')) ?? extended(parameters.get('name*'));
  if (disposition.value !== 'form-data' || name === undefined) {
    throw invalid(`Part ${number} has no Content-Disposition: form-data with a name.`);
  }
  const filename = parameters.get('filename') ?? extended(parameters.get('filename*'));
  const type = parseHeaderValue(headers.get('content-type'));
  const charset = type.parameters.get('charset');
  return {
    name,
    ...(filename === undefined ? {} : { filename }),
    type: type.value,
    ...(charset === undefined ? {} : { charset }),
  };
}

/** What the parts of one form had until now. */
export type SeenHeaders = { headers: number; bytes: number };

export function noHeaders(): SeenHeaders {
  return { headers: 0, bytes: 0 };
}

/** @throws ApiError `invalid-multipart` where all parts together have too much */
function countHeader(seen: SeenHeaders, bytes: number): void {
  seen.headers++;
  seen.bytes += bytes;
  if (seen.headers > MAX_ALL_HEADERS) {
    const limits = { limit: MAX_ALL_HEADERS, actual: seen.headers };
    throw invalid(`The parts have more than ${MAX_ALL_HEADERS} headers together.`, limits);
  }
  if (seen.bytes > MAX_ALL_HEADER_BYTES) {
    const limits = { limit: MAX_ALL_HEADER_BYTES, actual: seen.bytes };
    throw invalid(`The parts have more than ${MAX_ALL_HEADER_BYTES} bytes of headers.`, limits);
  }
}

/**
 * The headers that a part begins with, and the rest of it.
 * @param seen of the parts before it, and then of this one as well
 * @throws ApiError `invalid-multipart`
 */
export function splitHeaders(
  bytes: Bytes,
  number: number,
  seen: SeenHeaders,
): { headers: Map<string, string>; body: Bytes } {
  const headers = new Map<string, string>();
  let line = 0;
  let count = 0;
  while (line < bytes.length) {
    const after = nextLine(bytes, line);
    const next = after === -1 ? bytes.length : after;
    if (next > MAX_HEADER_BYTES) break;
    const text = decodeHeader(bytes.subarray(line, next)).trimEnd();
    const { length } = bytes.subarray(line, next);
    line = next;
    if (text === '') return { headers, body: bytes.subarray(line) };
    countHeader(seen, length);
    if (++count > MAX_HEADERS) {
      const limits = { limit: MAX_HEADERS, actual: count };
      throw invalid(`Part ${number} has more than ${MAX_HEADERS} headers.`, limits);
    }
    const colon = text.indexOf(':');
    const name = text.slice(0, colon).trim().toLowerCase();
    // A line that begins with a space continues the one before it.
    const folded = /^[ \t]/.test(text) ? [...headers].at(-1) : undefined;
    if (folded !== undefined) headers.set(folded[0], `${folded[1]} ${text.trim()}`);
    else if (colon === -1) throw invalid(`A header of part ${number} is no header.`);
    else headers.set(name, text.slice(colon + 1).trim());
  }
  // The empty line's break was taken for the delimiter's: there is no content.
  if (line === bytes.length) return { headers, body: bytes.subarray(line) };
  const limits = { limit: MAX_HEADER_BYTES };
  throw invalid(
    `Part ${number} has no content within ${MAX_HEADER_BYTES} bytes of headers.`,
    limits,
  );
}

/** One for all: a form has thousands of headers. */
const UTF8 = new TextDecoder();
const LATIN1 = new TextDecoder('latin1');

/** UTF-8, or Latin-1 where it is not that. */
function decodeHeader(bytes: Uint8Array): string {
  // Asked, not tried: an exception costs more than all else that is done for a header.
  return (isUtf8(bytes) ? UTF8 : LATIN1).decode(bytes);
}

/** Browsers write a quote and line breaks as `%22`, `%0D`, `%0A`; whoever writes a form by hand, `'image'`. */
function unescapeName(name: string | undefined): string | undefined {
  return name
    ?.replace(/^'(.*)'$/, '$1')
    .replace(/%(22|0D|0A)/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** The text of an extended parameter (RFC 8187), as far as a name is made of it: `utf-8''a.png`. */
function extended(value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  const text = value.slice(value.lastIndexOf("'") + 1);
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function invalid(
  detail: string,
  limits: { limit?: number; actual?: number } = {},
): ApiError {
  return new ApiError('invalid-multipart', detail, limits);
}
