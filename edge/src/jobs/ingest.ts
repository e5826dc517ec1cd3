/** Reads the input of a job, a part at a time: checks every line, and writes the part's lines in the form of a batch. */
import type { Config } from '../config.ts';
import { linesFrom } from './bucket-lines.ts';
import { imageKey, type JobOrder, type LineError, MAX_LINE_ERRORS, partKey } from './contract.ts';
import { encodeIds, type NamedLine } from './item-ids.ts';
import type { Cursor, KnownPart } from './job-table.ts';
import { moveImages } from './move-images.ts';
import { LINE_TOO_LONG, MAX_LINE_BYTES, readLine } from './read-line.ts';

/** Characters of a part's lines, which are in memory until the part is full. */
const MAX_PART_CHARACTERS = 8 * 2 ** 20;
/** What images that are moved count as, beside their bytes: each is a request to the bucket. */
const IMAGE_CHARACTERS = 8192;
/** Bytes of them in one part. */
const MAX_MOVED_BYTES = 64 * 2 ** 20;

/** Of the input, read at a time. */
const RANGE_BYTES = 2 ** 20;

export type Ingest = {
  job: string;
  order: JobOrder;
  cursor: Cursor;
  part: number;
  /** Errors that are known already: from then on nothing is written any more. */
  errors: number;
};

/** A part, or what is wrong with lines; `cursor` is where to go on. */
export type Ingested = {
  cursor: Cursor;
  part: (KnownPart & { ids: Uint8Array<ArrayBuffer> }) | null;
  errors: LineError[];
  isDone: boolean;
};

/** Reads on until a part is full, or the input ends. The same again does the same. */
export async function ingestPart(
  bucket: R2Bucket,
  config: Pick<Config, 'jobsPartItems' | 'jobsMaxItems' | 'maxImageBytes'>,
  { job, order, cursor: from, part, errors: known }: Ingest,
): Promise<Ingested> {
  const { input, owner } = order;
  if (input.kind !== 'file') throw new Error(`input of the kind ${input.kind} is not read yet`);
  let { offset, line: lineNumber, items } = from;
  const errors: LineError[] = [];
  const texts: string[] = [];
  const names: NamedLine[] = [];
  let characters = 0;
  let movedBytes = 0;
  let isDone = true;
  const store = async (sha256: string, bytes: Uint8Array<ArrayBuffer>) => {
    movedBytes += bytes.length;
    characters += IMAGE_CHARACTERS;
    if (known === 0) await bucket.put(imageKey(owner, job, sha256), bytes);
  };
  const reading = { offset, maxBytes: MAX_LINE_BYTES, rangeBytes: RANGE_BYTES };
  for await (const { text, bytes, next } of linesFrom(bucket, input.key, reading)) {
    offset = next;
    lineNumber++;
    if (text !== null && text.trim() === '') continue;
    if (items >= config.jobsMaxItems) {
      errors.push(tooMany(config.jobsMaxItems, lineNumber));
      return { cursor: { offset, line: lineNumber, items }, part: null, errors, isDone: true };
    }
    const read = readLine(text, items, order);
    items++;
    characters += Math.min(bytes, MAX_LINE_BYTES) / 16;
    let { error } = 'error' in read ? read : { error: undefined };
    if ('line' in read) {
      const { line } = read;
      const limits = { maxBytes: config.maxImageBytes };
      const body = await moveImages(line.body, limits, store);
      const short = JSON.stringify({ ...line, body });
      if (short.length > MAX_LINE_BYTES) error = LINE_TOO_LONG;
      characters += short.length;
      texts.push(`${short}\n`);
      names.push({ custom_id: line.custom_id, line: lineNumber });
    }
    if (error !== undefined) {
      errors.push({ line: lineNumber, ...error });
      if (known + errors.length >= MAX_LINE_ERRORS) break;
    }
    const isFull =
      names.length >= config.jobsPartItems ||
      characters >= MAX_PART_CHARACTERS ||
      movedBytes >= MAX_MOVED_BYTES;
    if (isFull) {
      isDone = false;
      break;
    }
  }
  const cursor = { offset, line: lineNumber, items };
  if (known + errors.length >= MAX_LINE_ERRORS) return { cursor, part: null, errors, isDone: true };
  if (names.length === 0) return { cursor, part: null, errors, isDone };
  if (known + errors.length === 0) {
    await bucket.put(partKey({ owner, job, part }, 'in'), texts.join(''));
  }
  const ids = await encodeIds(names, job);
  return { cursor, part: { part, items: names.length, ids }, errors, isDone };
}

function tooMany(limit: number, line: number): LineError {
  const message = `A job has ${limit} items at most: make several of it.`;
  return { line, code: 'too_many_items', message, param: null };
}
