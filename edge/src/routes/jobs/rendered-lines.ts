/**
 * Results as a body: rendered while they are read, so that no copy of them is made. How long the whole is nobody knows
 * before it was rendered once; whoever asks for a range of it, or for its size, has it counted.
 */
import { ApiError } from '@blip2/shared/errors';
import type { Dependencies } from '../../dependencies.ts';
import { type StreamOptions, sentStreamOf } from '../../http/stream.ts';
import { ENDED, type JobSnapshot, type ResultQuery } from '../../jobs/contract.ts';
import { READ_BYTES, readResults } from '../../jobs/read-results.ts';
import { MAX_RESULT_CHARACTERS } from '../../jobs/results.ts';
import { isWanted } from '../../jobs/stored-line.ts';
import { resultReads } from '../../turns/bulk-reads.ts';
import { jobPartsOf } from './job-access.ts';
import { bucketOf } from './owner.ts';
import {
  type Behind,
  measured,
  measuredBehind,
  type Piece,
  type RenderedLines,
} from './rendered-size.ts';

export type Rendering = ResultQuery & {
  /** What stands before all lines. */
  head: string;
  /** @param line as it is stored */
  write: (line: string) => string;
  /** Called for each piece when it is there. */
  onMade?: (bytes: number) => void;
};

/** @param client whose turns it takes */
export function rendered(
  deps: Dependencies,
  client: string,
  snapshot: JobSnapshot,
  { head, write, from: beginning, which, overGaps, onMade = () => {} }: Rendering,
): RenderedLines {
  const stores = { parts: jobPartsOf(deps), bucket: bucketOf(deps) };
  return async function* (from) {
    const encoder = new TextEncoder();
    let text = from === undefined ? head : '';
    let left = from === undefined ? mostOf(snapshot, which) : Number.POSITIVE_INFINITY;
    if (left > 0) {
      const query = { from: from ?? beginning, overGaps };
      for await (const { lines, next } of readResults(stores, snapshot, query)) {
        const bytes = await resultReads.run(client, async () => {
          // Whoever handed them on would have them in memory until the piece is read.
          const wanted = lines.splice(0).filter((line) => isWanted(line, which));
          left -= wanted.length;
          return encoder.encode(text + wanted.map(write).join(''));
        });
        text = '';
        onMade(bytes.length);
        yield { bytes, next };
        if (left <= 0) return;
      }
    }
    if (text !== '') yield { bytes: encoder.encode(text), next: null };
  };
}

/** How many lines there are at most: behind the last one nothing more is read. */
function mostOf({ state, counts }: JobSnapshot, which: ResultQuery['which']): number {
  const isFinal = state === 'completed' || state === 'cancelled' || state === 'expired';
  if (!isFinal || which === 'all') return Number.POSITIVE_INFINITY;
  return which === 'completed' ? counts.completed : counts.failed + counts.canceled;
}

/**
 * What results have in memory while nobody reads on, beside the pieces that are made of them: what was read ahead, and a line that
 * is not asked for.
 */
export function heldOf({ state, resultBytes }: JobSnapshot, which: ResultQuery['which']): number {
  const most = READ_BYTES + (which === 'all' ? 0 : MAX_RESULT_CHARACTERS);
  // Its parts may have more than they have said.
  return ENDED.has(state) ? Math.min(resultBytes ?? most, most) : most;
}

/** All of them as a body. @throws what reading the first of them throws */
export async function streamed(
  lines: RenderedLines,
  sending: StreamOptions = {},
): Promise<ReadableStream<Uint8Array>> {
  return await sentStreamOf(bytesOf(lines(), 0, Number.POSITIVE_INFINITY), null, sending);
}

/**
 * Lines that no longer change, whole or a range of them.
 * @param behind where they are behind a place in others
 * @param range value of `Range`: several ranges, or what is none, get the whole (RFC 9110, 14.2)
 * @throws ApiError `range-not-satisfiable`
 */
export async function ranged(
  lines: RenderedLines,
  {
    tag,
    range,
    headers,
    behind,
    sending,
  }: {
    tag: string;
    range: string | undefined;
    headers: Record<string, string>;
    behind?: Behind | undefined;
    sending?: StreamOptions;
  },
): Promise<Response> {
  const all = { ...headers, 'accept-ranges': 'bytes' };
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(range?.trim() ?? '') ?? [];
  if (first === '' && last === '') {
    return new Response(await streamed(lines, sending), { headers: all });
  }
  const { bytes: length, marks } = await (behind === undefined
    ? measured(lines, tag)
    : measuredBehind(lines, tag, behind));
  const start = first === '' ? Math.max(length - Number(last), 0) : Number(first);
  const end = first === '' || last === '' ? length : Math.min(Number(last) + 1, length);
  if (start >= end) {
    const detail = `Range: there are ${length} bytes, and none of those that it names.`;
    throw new ApiError('range-not-satisfiable', detail, {
      headers: { 'content-range': `bytes */${length}` },
    });
  }
  const mark = marks.findLast(({ at }) => at <= start) ?? { at: 0, from: undefined };
  const slice = bytesOf(lines(mark.from), start - mark.at, end - mark.at);
  return new Response(await sentStreamOf(slice, end - start, sending), {
    status: 206,
    headers: {
      ...all,
      'content-range': `bytes ${start}-${end - 1}/${length}`,
      'content-length': String(end - start),
    },
  });
}

async function* bytesOf(
  pieces: AsyncIterable<Piece>,
  start: number,
  end: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  let at = 0;
  for await (const { bytes } of pieces) {
    const slice = bytes.subarray(Math.max(start - at, 0), Math.max(end - at, 0));
    at += bytes.length;
    if (slice.length > 0) yield slice;
    if (at >= end) return;
  }
}
