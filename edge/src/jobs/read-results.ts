/** Reads the results of a job in the order of its items: those of closed parts from the bucket, of the others from their objects. */
import { linesFrom } from './bucket-lines.ts';
import {
  type JobPartObject,
  type JobSnapshot,
  partKey,
  type ResultLine,
  type ResultQuery,
} from './contract.ts';

export type ResultStores = { parts: Pick<DurableObjectNamespace, 'getByName'>; bucket: R2Bucket };

/** No line of results is longer than `maxBytes`. */
const READING = { offset: 0, maxBytes: 8 * 2 ** 20, rangeBytes: 2 ** 20 };

/**
 * Results as they are at the moment: while the job runs, they end where an item has not ended, or pass over it.
 * @example for await (const { custom_id, body } of readResults(stores, job, { from: null, which: 'all', overGaps: false })) …
 */
export async function* readResults(
  { parts, bucket }: ResultStores,
  { id, order: { owner }, parts: count }: Pick<JobSnapshot, 'id' | 'order' | 'parts'>,
  { from, which, overGaps }: ResultQuery,
): AsyncGenerator<ResultLine, void, undefined> {
  const first = from ?? { part: 0, item: 0 };
  for (let part = first.part; part < count; part++) {
    const item = part === first.part ? first.item : 0;
    const object = parts.getByName(`${id}/${part}`) as unknown as JobPartObject;
    const key = partKey({ owner, job: id, part }, 'out');
    const lines = linesOfPart(bucket, key, object, item, overGaps);
    let isWhole = false;
    for (;;) {
      const { done, value } = await lines.next();
      if (done) {
        isWhole = value;
        break;
      }
      const line = JSON.parse(value) as ResultLine;
      if (isWanted(line, which)) yield line;
    }
    if (!isWhole && !overGaps) return;
  }
}

function isWanted({ outcome }: ResultLine, which: ResultQuery['which']): boolean {
  return which === 'all' || (outcome === 'completed') === (which === 'completed');
}

/** @returns whether all items of the part have ended */
async function* linesOfPart(
  bucket: R2Bucket,
  key: string,
  object: JobPartObject,
  from: number,
  overGaps: boolean,
): AsyncGenerator<string, boolean, undefined> {
  for (let item = from; ; ) {
    const page = await object.page(item, overGaps);
    // It may have been closed since the page before.
    if (page.kind === 'closed') {
      yield* closedLines(bucket, key, item);
      return true;
    }
    yield* page.lines;
    if (page.next === null) return page.isWhole;
    item = page.next;
  }
}

/** There is a line for every item. */
async function* closedLines(
  bucket: R2Bucket,
  key: string,
  from: number,
): AsyncGenerator<string, void, undefined> {
  let item = 0;
  for await (const { text } of linesFrom(bucket, key, READING)) {
    if (item++ >= from && text !== null) yield text;
  }
}
