/** Reads the results of a job in the order of its items: those of closed parts from the bucket, of the others from their objects. */
import { linesFrom } from './bucket-lines.ts';
import {
  type JobPartObject,
  type JobSnapshot,
  partKey,
  type ResultCursor,
  type ResultQuery,
} from './contract.ts';

export type ResultStores = { parts: Pick<DurableObjectNamespace, 'getByName'>; bucket: R2Bucket };

/** Of closed parts, at a time. */
export const READ_BYTES = 2 ** 20;
/** No line of results is longer than `maxBytes`. */
const READING = { maxBytes: 8 * 2 ** 20, rangeBytes: READ_BYTES };
/** Characters of lines that come together, or one line more. */
const TOGETHER = 2 ** 16;

/** @property next where to go on behind them, where that is known: all items before it have ended */
export type SomeLines = { lines: string[]; next: ResultCursor | null };

/**
 * Lines of results as they are stored, all of them, some together: whoever reads them lets others come between (`isWanted`,
 * `completedLine`). While the job runs, they end where an item has not ended, or pass over it.
 * @example for await (const { lines } of readResults(stores, job, { from: null, overGaps: false })) …
 */
export async function* readResults(
  { parts, bucket }: ResultStores,
  { id, order: { owner }, parts: count }: Pick<JobSnapshot, 'id' | 'order' | 'parts'>,
  { from, overGaps }: Pick<ResultQuery, 'from' | 'overGaps'>,
): AsyncGenerator<SomeLines, void, undefined> {
  const first = from ?? { part: 0, item: 0 };
  for (let part = first.part; part < count; part++) {
    const item = part === first.part ? first.item : 0;
    const object = parts.getByName(`${id}/${part}`) as unknown as JobPartObject;
    const key = partKey({ owner, job: id, part }, 'out');
    const isWhole = yield* linesOfPart({ bucket, key, part, object }, item, overGaps);
    if (!isWhole && !overGaps) return;
  }
}

type Part = { bucket: R2Bucket; key: string; part: number; object: JobPartObject };

/** @returns whether all items of the part have ended */
async function* linesOfPart(
  of: Part,
  from: number,
  overGaps: boolean,
): AsyncGenerator<SomeLines, boolean, undefined> {
  for (let item = from; ; ) {
    const page = await of.object.page(item, overGaps);
    // It may have been closed since the page before.
    if (page.kind === 'closed') {
      yield* closedLines(of, item);
      return true;
    }
    const group = new Group();
    for (const line of page.lines) {
      if (group.add(line)) yield { lines: group.taken(), next: null };
    }
    if (!group.isEmpty) yield { lines: group.taken(), next: null };
    if (page.next === null) return page.isWhole;
    item = page.next;
  }
}

/** There is a line for every item. */
async function* closedLines(
  { bucket, key, part }: Part,
  from: number,
): AsyncGenerator<SomeLines, void, undefined> {
  let item = from;
  const group = new Group();
  for await (const { text } of linesFrom(bucket, key, { ...READING, offset: 0, skipped: from })) {
    item++;
    if (text !== null && group.add(text)) yield { lines: group.taken(), next: { part, item } };
  }
  if (!group.isEmpty) yield { lines: group.taken(), next: { part, item } };
}

class Group {
  #lines: string[] = [];
  #characters = 0;

  get isEmpty(): boolean {
    return this.#lines.length === 0;
  }

  /** @returns whether it is large enough */
  add(line: string): boolean {
    this.#lines.push(line);
    this.#characters += line.length;
    return this.#characters >= TOGETHER;
  }

  taken(): string[] {
    const lines = this.#lines;
    this.#lines = [];
    this.#characters = 0;
    return lines;
  }
}
