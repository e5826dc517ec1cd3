/**
 * Results as a body: rendered while they are read, so that no copy of them is made. How long the whole is nobody knows
 * before it was rendered once; whoever asks for a range of it, or for its size, has it counted.
 */
import { ApiError } from '@blip2/shared/errors';
import { LRUCache } from 'lru-cache';
import type { Dependencies } from '../../dependencies.ts';
import { streamOf } from '../../http/stream.ts';
import type { JobSnapshot, ResultLine, ResultQuery } from '../../jobs/contract.ts';
import { readResults } from '../../jobs/read-results.ts';
import { jobPartsOf } from './job-access.ts';
import { bucketOf } from './owner.ts';

export type Rendering = ResultQuery & {
  /** What stands before all lines. */
  head: string;
  write: (line: ResultLine) => string;
};

/** Begins to read; each call reads from the beginning. */
export type RenderedLines = () => Promise<ReadableStream<Uint8Array>>;

/** Characters that are encoded together. */
const TOGETHER = 2 ** 16;

export function rendered(
  deps: Dependencies,
  snapshot: JobSnapshot,
  { head, write, ...query }: Rendering,
): RenderedLines {
  const stores = { parts: jobPartsOf(deps), bucket: bucketOf(deps) };
  return () =>
    streamOf(
      (async function* () {
        const encoder = new TextEncoder();
        let text = head;
        for await (const line of readResults(stores, snapshot, query)) {
          text += write(line);
          if (text.length < TOGETHER) continue;
          yield encoder.encode(text);
          text = '';
        }
        if (text !== '') yield encoder.encode(text);
      })(),
    );
}

const MAX_KNOWN = 1000;
/** Bytes of what was rendered before in this isolate, by its tag. */
const lengths = new LRUCache<string, number>({ max: MAX_KNOWN });

/** Bytes of lines that no longer change. @param tag the same for the same lines */
export async function lengthOf(lines: RenderedLines, tag: string): Promise<number> {
  const known = lengths.get(tag);
  if (known !== undefined) return known;
  let length = 0;
  for await (const chunk of await lines()) length += chunk.length;
  lengths.set(tag, length);
  return length;
}

/**
 * Lines that no longer change, whole or a range of them.
 * @param range value of `Range`: several ranges, or what is none, get the whole (RFC 9110, 14.2)
 * @throws ApiError `range-not-satisfiable`
 */
export async function ranged(
  lines: RenderedLines,
  {
    tag,
    range,
    headers,
  }: { tag: string; range: string | undefined; headers: Record<string, string> },
): Promise<Response> {
  const all = { ...headers, 'accept-ranges': 'bytes' };
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(range?.trim() ?? '') ?? [];
  if (first === '' && last === '') return new Response(await lines(), { headers: all });
  const length = await lengthOf(lines, tag);
  const start = first === '' ? Math.max(length - Number(last), 0) : Number(first);
  const end = first === '' || last === '' ? length : Math.min(Number(last) + 1, length);
  if (start >= end) {
    const detail = `Range: there are ${length} bytes, and none of those that it names.`;
    throw new ApiError('range-not-satisfiable', detail, {
      headers: { 'content-range': `bytes */${length}` },
    });
  }
  return new Response(await sliceOf(await lines(), start, end), {
    status: 206,
    headers: {
      ...all,
      'content-range': `bytes ${start}-${end - 1}/${length}`,
      'content-length': String(end - start),
    },
  });
}

function sliceOf(
  stream: ReadableStream<Uint8Array>,
  start: number,
  end: number,
): Promise<ReadableStream<Uint8Array>> {
  return streamOf(
    (async function* () {
      let at = 0;
      for await (const chunk of stream) {
        const piece = chunk.subarray(Math.max(start - at, 0), Math.max(end - at, 0));
        at += chunk.length;
        if (piece.length > 0) yield piece;
        if (at >= end) return;
      }
    })(),
  );
}
