/** Reads the input of a job, a part at a time: checks every line, and writes the part's lines in the form of a batch. */
import type { Config } from '../config.ts';
import { imageKey, type JobOrder, type LineError, MAX_LINE_ERRORS, partKey } from './contract.ts';
import { type InputBuckets, type InputLine, inputLines } from './input-lines.ts';
import { encodeIds, type NamedLine } from './item-ids.ts';
import { storedImagesIn } from './item-source.ts';
import type { Cursor, KnownPart } from './job-table.ts';
import { moveImages } from './move-images.ts';
import {
  FAULTS,
  MAX_LINE_BYTES,
  MAX_STORED_LINE_BYTES,
  maxLinesOf,
  readLine,
} from './read-line.ts';
import { ReadingTurns } from './reading-turns.ts';

/** Characters of a part's lines, which are in memory until the part is full. */
const MAX_PART_CHARACTERS = 8 * 2 ** 20;
/** What a line counts as, beside its bytes, one that is empty too: a file of nothing else is read in many steps, each of which is stored. */
const LINE_CHARACTERS = 64;
/** What reading a line takes beside its bytes, and an empty one, in bytes that are read. */
const LINE_WORK = 1024;
const BLANK_WORK = 16;
/** What images that are moved count as, beside their bytes: each is a request to the bucket. */
const IMAGE_CHARACTERS = 8192;
/** Ids are hashed so many at a time. */
const IDS_AT_A_TIME = 256;
const ID_WORK = 128;
/** Of a line of another job so many images are copied: an item is about the last. */
const MAX_COPIED = 4;
/** Images that are not put again, and those of another job that it has not: 400 KB, which each job that is read holds. */
const MAX_REMEMBERED = 4096;
/** Items after which it is asked whether they can be paid for. */
const EXPECTED = 1024;
/** Bytes of them in one part. */
const MAX_MOVED_BYTES = 64 * 2 ** 20;

export type Ingest = {
  job: string;
  order: JobOrder;
  cursor: Cursor;
  part: number;
  /** Errors that are known already: from then on nothing is written any more. */
  errors: number;
  /** SHA-256 of images that were put already, and `no` with that of those that the other job has not; those of this part come to it. */
  moved?: Set<string>;
  /** Called now and again while it is read. */
  goesOn?: () => void;
  /** Whether that many items can be paid for; asked once a first part has some. @returns why not */
  expect?: (items: number) => Promise<LineError | null>;
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
  buckets: InputBuckets,
  config: ReadingConfig,
  ingest: Ingest,
): Promise<Ingested> {
  const turns = new ReadingTurns(ingest.order.owner, ingest.goesOn);
  try {
    return await readPart(buckets, config, ingest, turns);
  } finally {
    await turns.end();
  }
}

type ReadingConfig = Pick<Config, 'jobsPartItems' | 'jobsMaxItems' | 'maxImageBytes'>;

async function readPart(
  buckets: InputBuckets,
  config: ReadingConfig,
  { job, order, cursor: from, part, errors: known, moved = new Set(), expect }: Ingest,
  turns: ReadingTurns,
): Promise<Ingested> {
  const { input, owner } = order;
  const { files: bucket } = buckets;
  let { line: lineNumber, items, ...place }: Cursor = from;
  const errors: LineError[] = [];
  const texts: string[] = [];
  const names: NamedLine[] = [];
  let characters = 0;
  let movedBytes = 0;
  let isDone = true;
  let isExpected = part > 0;
  const hasLines = input.kind === 'file' || input.kind === 'lines';
  const remember = (name: string) => {
    const [oldest] = moved;
    if (moved.size >= MAX_REMEMBERED && oldest !== undefined) moved.delete(oldest);
    moved.add(name);
  };
  /** Puts an image that is not there yet. */
  const store = async (sha256: string, bytes: Uint8Array<ArrayBuffer>) => {
    if (moved.has(sha256)) return;
    movedBytes += bytes.length;
    characters += IMAGE_CHARACTERS;
    await turns.after(IMAGE_CHARACTERS);
    if (known === 0) await turns.away(() => bucket.put(imageKey(owner, job, sha256), bytes));
    remember(sha256);
  };
  /** Those of the job that is tried again may be deleted with it. */
  const copyImages = async (other: string, body: unknown) => {
    for (const sha256 of storedImagesIn(body, MAX_COPIED)) {
      if (moved.has(sha256) || moved.has(`no ${sha256}`)) continue;
      await turns.after(IMAGE_CHARACTERS);
      const image = await turns.away(async () => {
        const stored = await bucket.get(imageKey(owner, other, sha256));
        return stored === null ? null : await stored.arrayBuffer();
      });
      if (image !== null) await store(sha256, new Uint8Array(image));
      else {
        characters += IMAGE_CHARACTERS;
        remember(`no ${sha256}`);
      }
    }
  };
  const moving = {
    maxBytes: config.maxImageBytes,
    pause: (length: number) => turns.after(length),
  };
  /** @returns what is wrong with it */
  const add = async (read: InputLine): Promise<Omit<LineError, 'line'> | null> => {
    const number = items++;
    if (read.text === null) return FAULTS[read.fault];
    const result = readLine(read.text, number, order);
    if ('error' in result) return result.error;
    const { line } = result;
    const body = await moveImages(line.body, { ...moving, length: read.text.length }, store);
    const text = JSON.stringify({ ...line, body });
    if (text.length > MAX_LINE_BYTES) return FAULTS['too-long'];
    if (input.kind === 'failed-of') await copyImages(input.job, body);
    characters += text.length;
    texts.push(`${text}\n`);
    names.push({ custom_id: line.custom_id, line: lineNumber });
    return null;
  };
  if (input.kind === 'file' && (await bucket.head(input.key)) === null) {
    // What was read of it before is no job that anybody asked for.
    return { cursor: from, part: null, errors: [GONE], isDone: true };
  }
  for await (const read of inputLines(buckets, order, place, turns)) {
    place = read.next;
    lineNumber++;
    characters += LINE_CHARACTERS + Math.min(read.bytes, MAX_STORED_LINE_BYTES) / 16;
    const isBlank = read.text !== null && read.text.trim() === '';
    await turns.after(read.bytes + (isBlank ? BLANK_WORK : LINE_WORK));
    if (!isBlank && items >= config.jobsMaxItems) {
      errors.push(tooMany(config.jobsMaxItems, lineNumber));
      return { cursor: { ...place, line: lineNumber, items }, part: null, errors, isDone: true };
    }
    if (hasLines && lineNumber > maxLinesOf(config.jobsMaxItems)) {
      errors.push(tooManyLines(maxLinesOf(config.jobsMaxItems), lineNumber));
      return { cursor: { ...place, line: lineNumber, items }, part: null, errors, isDone: true };
    }
    const error = isBlank ? null : await add(read);
    if (error !== null) {
      errors.push({
        line: hasLines ? lineNumber : null,
        ...error,
      });
      if (known + errors.length >= MAX_LINE_ERRORS) break;
    }
    if (!isExpected && names.length >= EXPECTED && known + errors.length === 0) {
      isExpected = true;
      const refusal = (await turns.away(async () => await expect?.(items))) ?? null;
      const cursor = { ...place, line: lineNumber, items };
      if (refusal !== null) return { cursor, part: null, errors: [refusal], isDone: true };
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
  if (input.kind === 'failed-of' && !(await turns.away(() => isStored(bucket, owner, input.job)))) {
    return { cursor: from, part: null, errors: [DELETED], isDone: true };
  }
  const cursor = { ...place, line: lineNumber, items };
  if (known + errors.length >= MAX_LINE_ERRORS) return { cursor, part: null, errors, isDone: true };
  if (names.length === 0) return { cursor, part: null, errors, isDone };
  if (known + errors.length === 0) {
    const text = texts.join('');
    await turns.end();
    await bucket.put(partKey({ owner, job, part }, 'in'), text);
  }
  const ids = await idsOf(names, job, turns);
  return { cursor, part: { part, items: names.length, ids }, errors, isDone };
}

/** Whether nothing of a job's lines, images and results had been deleted when it was read: this is the first that is. */
async function isStored(bucket: R2Bucket, owner: string, job: string): Promise<boolean> {
  return (await bucket.head(partKey({ owner, job, part: 0 }, 'in'))) !== null;
}

async function idsOf(
  names: readonly NamedLine[],
  job: string,
  turns: ReadingTurns,
): Promise<Uint8Array<ArrayBuffer>> {
  const blobs: Uint8Array<ArrayBuffer>[] = [];
  for (let at = 0; at < names.length; at += IDS_AT_A_TIME) {
    const some = names.slice(at, at + IDS_AT_A_TIME);
    await turns.after(ID_WORK * some.length);
    blobs.push(await encodeIds(some, job));
  }
  return new Uint8Array(await new Blob(blobs).arrayBuffer());
}

const GONE: LineError = {
  line: null,
  code: 'file_not_found',
  message: 'The file of this job was deleted, or has expired, before all of it had been read.',
  param: null,
};

const DELETED: LineError = {
  line: null,
  code: 'job_not_found',
  message: 'The job whose failed items these are was deleted before all of them had been read.',
  param: null,
};

function tooMany(limit: number, line: number): LineError {
  const message = `A job has ${limit} items at most: make several of it.`;
  return { line, code: 'too_many_items', message, param: null };
}

function tooManyLines(limit: number, line: number): LineError {
  const message = `A job's input has ${limit} lines at most, blank ones too: leave those out.`;
  return { line, code: 'too_many_lines', message, param: null };
}
