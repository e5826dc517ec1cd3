/**
 * How many bytes results are as a body, counted once for all who ask at the same time or later, with places in them from which a
 * range is rendered. A request may be stopped while it counts: the next one goes on where it was.
 */
import { LRUCache } from 'lru-cache';
import type { ResultCursor } from '../../jobs/contract.ts';
import { pause } from '../../turns/turns.ts';

/** Some bytes of a body. @property next the place behind them, where that is known */
export type Piece = { bytes: Uint8Array; next: ResultCursor | null };

/** Begins to read, from the beginning or a place that was `next`. */
export type RenderedLines = (from?: ResultCursor) => AsyncGenerator<Piece, void, undefined>;

/** A place in the lines, and the bytes before it. */
type Mark = { at: number; from: ResultCursor };
/** `ends` are those of parts that others follow; null where some places are not known. */
type Measured = { bytes: number; marks: Mark[]; ends: Mark[] | null };

/** Results may have gigabytes: a range is rendered from a place that is so near before it. */
const MARK_BYTES = 64 * 2 ** 20;
const MAX_KNOWN = 1000;
/** How often who waits looks, and the silence after which who counts is gone. */
const LOOK_MS = 50;
const GONE_MS = 2000;

/** @property next where counting goes on; undefined at the beginning, null where it cannot */
type Count = Measured & { next: ResultCursor | null | undefined; saidAt: number };

/** Of what was rendered before in this isolate, by its tag. */
const known = new LRUCache<string, Measured>({ max: MAX_KNOWN });
const counts = new LRUCache<string, Count>({ max: MAX_KNOWN });

/** @param tag the same for the same lines, which no longer change */
export async function measured(
  lines: RenderedLines,
  tag: string,
  now: () => number = Date.now,
): Promise<Measured> {
  for (;;) {
    const found = known.get(tag);
    if (found !== undefined) return found;
    const count = counts.get(tag);
    if (count === undefined || count.saidAt < now() - GONE_MS) {
      return await counted(lines, tag, count, now);
    }
    await pause(LOOK_MS);
  }
}

/** Lines behind a place in others: `from` is that place, and `headBytes` of each body stand before its lines. */
export type Behind = { lines: RenderedLines; tag: string; from: ResultCursor; headBytes: number };

/**
 * How many bytes the lines behind a place are: all are counted once, and then of each place what is left of its part.
 * @param tag of the lines behind the place
 */
export async function measuredBehind(
  rest: RenderedLines,
  tag: string,
  { lines, tag: tagOfAll, from, headBytes }: Behind,
): Promise<Pick<Measured, 'bytes' | 'marks'>> {
  const found = known.get(tag);
  if (found !== undefined) return found;
  const all = await measured(lines, tagOfAll);
  const left = all.ends === null ? null : await leftOfPart(rest, from.part, headBytes);
  if (left === null) return await measured(rest, tag);
  const end = all.ends?.find((mark) => mark.from.part === from.part)?.at ?? all.bytes;
  const marks = all.marks
    .filter((mark) => mark.from.part > from.part)
    .map((mark) => ({ ...mark, at: mark.at - end + left }));
  const behind = { bytes: all.bytes - end + left, marks, ends: null };
  known.set(tag, behind);
  return behind;
}

/** Bytes of the head, and of lines of this part; null where it is not known which are. */
async function leftOfPart(
  lines: RenderedLines,
  part: number,
  headBytes: number,
): Promise<number | null> {
  let bytes = 0;
  for await (const piece of lines()) {
    if (piece.next === null) return null;
    if (piece.next.part > part) break;
    bytes += piece.bytes.length;
  }
  // The head is with the first line, which may be of another part.
  return Math.max(bytes, headBytes);
}

/** @param before what another has counted who is gone */
async function counted(
  lines: RenderedLines,
  tag: string,
  before: Count | undefined,
  now: () => number,
): Promise<Measured> {
  const begun = before?.next ? before : { bytes: 0, marks: [], ends: [], next: undefined };
  const { marks, ends } = begun;
  const count: Count = { ...begun, marks: [...marks], ends: ends && [...ends], saidAt: now() };
  counts.set(tag, count);
  try {
    for await (const piece of lines(count.next ?? undefined)) {
      add(count, piece);
      count.saidAt = now();
    }
    const { bytes, marks, ends } = count;
    known.set(tag, { bytes, marks, ends });
    return { bytes, marks, ends };
  } finally {
    if (counts.get(tag) === count) counts.delete(tag);
  }
}

function add(count: Count, { bytes, next }: Piece): void {
  const before = count.next;
  if (next === null) count.ends = null;
  else if (before && before.part < next.part) count.ends?.push({ at: count.bytes, from: before });
  count.bytes += bytes.length;
  count.next = next;
  const last = count.marks.at(-1)?.at ?? 0;
  if (next !== null && count.bytes - last >= MARK_BYTES) {
    count.marks.push({ at: count.bytes, from: next });
  }
}
