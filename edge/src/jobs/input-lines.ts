/** The lines of a job's input, wherever they come from, from a place on. */
import { Pauses, type Slices } from '../pauses.ts';
import { type BucketLine, linesFrom } from './bucket-lines.ts';
import { type JobOrder, partKey } from './contract.ts';
import { bucketImageUrl } from './item-source.ts';
import { MAX_LINE_BYTES, MAX_STORED_LINE_BYTES } from './read-line.ts';
import { HEAD_BYTES, isWanted } from './stored-line.ts';

/** Bytes of a file or, of the parts of another job, `PART_STRIDE` times the part and the item; or the last key of a list. */
export type InputPlace = { offset: number; after?: string };

/** A line, and where to go on behind it. One without text is none, and says only that something was read. */
export type InputLine = Distributed<BucketLine>;
type Distributed<Line> = Line extends unknown ? Omit<Line, 'next'> & { next: InputPlace } : never;

/** Files, results and lines of jobs; and the operator's own images, where there are any. */
export type InputBuckets = { files: R2Bucket; images: R2Bucket | undefined };

/** Read at a time, bytes. */
const RANGE_BYTES = 2 ** 20;
/** No part has as many items. */
const PART_STRIDE = 1_000_000;
const LISTED = 1000;
/** Of a result only the beginning is decoded: so many of its bytes are as much work as one that is read. */
const RESULT_BYTES_PER_WORK = 4;
/** What a list of so many takes, in bytes that are read. */
const LIST_WORK = 2 ** 20;

export async function* inputLines(
  { files, images }: InputBuckets,
  { input, owner }: Pick<JobOrder, 'input' | 'owner'>,
  place: InputPlace,
  slices: Slices = new Pauses(),
): AsyncGenerator<InputLine, void, undefined> {
  const away: Slices['away'] = (call) => slices.away(call);
  switch (input.kind) {
    case 'file': {
      const { offset } = place;
      const reading = { offset, maxBytes: MAX_LINE_BYTES, rangeBytes: RANGE_BYTES, away };
      for await (const line of linesFrom(files, input.key, reading)) {
        yield { ...line, next: { offset: line.next } };
      }
      return;
    }
    case 'lines':
      return yield* linesOf(input.text, place);
    case 'failed-of':
      return yield* failedLines(files, owner, input.job, place, slices);
    case 'prefix':
      return yield* imageLines(images, input.prefix, place, away);
  }
}

/** Lines of a text; `offset` counts characters. */
function* linesOf(text: string, { offset }: InputPlace): Generator<InputLine, void, undefined> {
  for (let from = offset; from < text.length; ) {
    const newline = text.indexOf('\n', from);
    const to = newline < 0 ? text.length : newline;
    yield { text: text.slice(from, to), bytes: to - from, next: { offset: to + 1 } };
    from = to + 1;
  }
}

/** Lines of the items of another job that were not completed. Its results are closed, one for each line. */
async function* failedLines(
  files: R2Bucket,
  owner: string,
  job: string,
  { offset }: InputPlace,
  slices: Slices,
): AsyncGenerator<InputLine, void, undefined> {
  const away: Slices['away'] = (call) => slices.away(call);
  let first = offset % PART_STRIDE;
  for (let part = Math.floor(offset / PART_STRIDE); ; part++) {
    const of = { owner, job, part };
    const results = await away(() => files.head(partKey(of, 'out')));
    if (results === null) return;
    const limits = { maxBytes: MAX_STORED_LINE_BYTES, rangeBytes: RANGE_BYTES, away };
    const reading = { offset: 0, skipped: first, ...limits };
    const heads = { ...reading, headBytes: HEAD_BYTES };
    const outcomes = linesFrom(files, partKey(of, 'out'), heads);
    let item = first;
    const isFailed = async () => {
      const { value: result } = await outcomes.next();
      item++;
      if (!result || result.text === null) return false;
      // Where all were completed, nobody who reads on lets others come between.
      await slices.after(result.bytes / RESULT_BYTES_PER_WORK);
      return isWanted(result.text, 'failed');
    };
    const failed = { ...reading, isWanted: isFailed };
    for await (const line of linesFrom(files, partKey(of, 'in'), failed)) {
      yield { ...line, next: { offset: part * PART_STRIDE + item } };
    }
    first = 0;
    // So that a pass over results that are as they should be ends, too.
    yield { text: '', bytes: results.size, next: { offset: (part + 1) * PART_STRIDE } };
  }
}

/** Native items, one for each image of the bucket. */
async function* imageLines(
  images: R2Bucket | undefined,
  prefix: string,
  { after }: InputPlace,
  away: Slices['away'],
): AsyncGenerator<InputLine, void, undefined> {
  if (images === undefined) return;
  let startAfter = after;
  for (;;) {
    const from = startAfter !== undefined && { startAfter };
    const page = await away(() =>
      images.list({ prefix, limit: LISTED, include: ['httpMetadata'], ...from }),
    );
    for (const { key, httpMetadata } of page.objects) {
      startAfter = key;
      if (!isImage(key, httpMetadata?.contentType)) continue;
      const text = JSON.stringify({ id: key, image: { url: bucketImageUrl(key) } });
      yield { text, bytes: text.length, next: { offset: 0, after: key } };
    }
    if (!page.truncated) return;
    // So that a pass over keys of which none is an image's ends, too.
    const next = { offset: 0, ...(startAfter !== undefined && { after: startAfter }) };
    yield { text: '', bytes: LIST_WORK, next };
  }
}

/** What its name or its type says; whether it is one is found out when it is read. */
function isImage(key: string, type: string | undefined): boolean {
  return /\.(jpe?g|png|webp|gif|avif)$/i.test(key) || type?.startsWith('image/') === true;
}
