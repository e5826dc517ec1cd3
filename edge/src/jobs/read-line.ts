/** Reads one line of a job's input: JSON of a whole request, or of a native item, into the form that is stored. */
import { ApiError } from '@blip2/shared/errors';
import { shownName } from '@blip2/shared/validate';
import { parseJsonValue } from '../http/json-body.ts';
import type { BatchLine, JobOrder, LineError } from './contract.ts';

/** The longest line, bytes. */
export const MAX_LINE_BYTES = 8 * 2 ** 20;

/** Lines of an input of so many items, blank ones too: one between any two, and some. They are read, though they are nothing. */
export const maxLinesOf = (items: number): number => 2 * items + 1000;
/** The longest in the form that is stored, in UTF-8: numbers may be longer there. */
export const MAX_STORED_LINE_BYTES = 3 * MAX_LINE_BYTES;
/** The longest `custom_id` that somebody sends, characters. */
const MAX_SENT_ID = 512;
/** The longest of all: the key of an image in a bucket is one. */
export const MAX_ID = 1024;

export type ReadLine = { line: BatchLine } | { error: Omit<LineError, 'line'> };

/** @param number of the item, from 0 */
export function readLine(
  text: string,
  number: number,
  { input, url, settings }: Pick<JobOrder, 'input' | 'url' | 'settings'>,
): ReadLine {
  let value: unknown;
  try {
    // As strictly as a body.
    value = parseJsonValue(text, 'line');
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return wrong('invalid_json_line', error.message, null);
  }
  if (!isObject(value)) return wrong('invalid_json_line', 'A line is a JSON object.', null);
  const isNative =
    input.kind === 'prefix' ||
    input.kind === 'lines' ||
    (input.kind === 'file' && input.form === 'native');
  const read = isNative ? nativeLine(number, value, url) : batchLine(value, url);
  if ('error' in read) return read;
  const { custom_id, body } = read.line;
  const most = input.kind === 'file' || input.kind === 'lines' ? MAX_SENT_ID : MAX_ID;
  if (custom_id.length === 0 || custom_id.length > most) {
    const param = isNative ? 'id' : 'custom_id';
    return wrong('invalid_custom_id', `${param} has 1 to ${most} characters.`, param);
  }
  const isStream = 'stream' in body ? body.stream === true : isNative && settings.stream === true;
  if (isStream) {
    const what = 'stream: results are read when they are there; leave it out.';
    return wrong('unsupported_parameter', what, isNative ? 'stream' : 'body.stream');
  }
  return read;
}

function nativeLine(
  number: number,
  { id = String(number), ...members }: Record<string, unknown>,
  url: string,
): ReadLine {
  if (typeof id !== 'string') return wrong('invalid_custom_id', 'id must be text.', 'id');
  return { line: { custom_id: id, method: 'POST', url, body: members } };
}

/**
 * A stored line as it is run: with the settings of its job, of which no line has a copy. Lines of an earlier version have one, and stay
 * the same.
 */
export function withSettings(line: BatchLine, settings: JobOrder['settings'] = {}): BatchLine {
  return { ...line, body: { ...settings, ...line.body } };
}

const LINE_TOO_LONG: Omit<LineError, 'line'> = {
  code: 'line_too_long',
  message: `A line has ${MAX_LINE_BYTES} bytes at most.`,
  param: null,
};

/** What is wrong with a line that could not be read as text. */
export const FAULTS = {
  'too-long': LINE_TOO_LONG,
  'not-utf-8': { code: 'invalid_json_line', message: 'The line is not UTF-8.', param: null },
} as const;

const MEMBERS = new Set(['custom_id', 'method', 'url', 'body']);

function batchLine(value: Record<string, unknown>, endpoint: string): ReadLine {
  const { custom_id, method, url, body } = value;
  const unknown = Object.keys(value).find((name) => !MEMBERS.has(name));
  if (unknown !== undefined) {
    const shown = shownName(unknown).toWellFormed();
    const what = `${shown}: is no member of a line; it has custom_id, method, url and body.`;
    return wrong('unknown_parameter', what, shown);
  }
  if (typeof custom_id !== 'string') {
    return wrong('missing_required_parameter', 'custom_id must be text.', 'custom_id');
  }
  if (method !== 'POST') return wrong('invalid_method', 'method must be POST.', 'method');
  if (url !== endpoint) {
    const what = `url must be that of the batch, ${endpoint}.`;
    return wrong('mismatched_endpoint', what, 'url');
  }
  if (!isObject(body)) {
    return wrong('missing_required_parameter', 'body must be a JSON object.', 'body');
  }
  return { line: { custom_id, method, url: endpoint, body } };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function wrong(code: string, message: string, param: string | null): ReadLine {
  return { error: { code, message, param } };
}
