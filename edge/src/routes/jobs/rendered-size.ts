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
type Measured = { bytes: number; marks: Mark[] };

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

/** @param before what another has counted who is gone */
async function counted(
  lines: RenderedLines,
  tag: string,
  before: Count | undefined,
  now: () => number,
): Promise<Measured> {
  const begun = before?.next ? before : { bytes: 0, marks: [], next: undefined };
  const count: Count = { ...begun, marks: [...begun.marks], saidAt: now() };
  counts.set(tag, count);
  try {
    for await (const piece of lines(count.next ?? undefined)) {
      add(count, piece);
      count.saidAt = now();
    }
    const { bytes, marks } = count;
    known.set(tag, { bytes, marks });
    return { bytes, marks };
  } finally {
    if (counts.get(tag) === count) counts.delete(tag);
  }
}

function add(count: Count, { bytes, next }: Piece): void {
  count.bytes += bytes.length;
  count.next = next;
  const last = count.marks.at(-1)?.at ?? 0;
  if (next !== null && count.bytes - last >= MARK_BYTES) {
    count.marks.push({ at: count.bytes, from: next });
  }
}
