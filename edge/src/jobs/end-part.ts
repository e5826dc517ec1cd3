/** Gives every item of a part that was not run a line of its own, when its job was canceled or has expired. */
import { Pauses } from '../pauses.ts';
import type { BatchLine } from './contract.ts';
import type { Progress } from './fill-part.ts';
import { partLines } from './part-lines.ts';
import type { EndedItem, PartTable, Place } from './part-table.ts';
import { NEVER_RUN, unrepliedItem } from './results.ts';

/** Items that are ended in one alarm. */
const END_PER_ALARM = 2000;
/** At a time: their lines are parsed, and a row written for each. */
const AT_A_TIME = { items: 64, bytes: 2 ** 18 };
/** What a row takes, in bytes that are read. */
const ROW_WORK = 1024;

/** Ends some of what has not ended, as its job has. */
export async function endRest(table: PartTable, bucket: R2Bucket): Promise<Progress> {
  const { state } = table;
  if (state === null || state.ending === null) return { at: null, hasEnded: false };
  const { order, ending } = state;
  const ended = (item: number, line: BatchLine) =>
    unrepliedItem({ part: order.part, item }, line, ending, NEVER_RUN[ending]);
  const isOver = () => table.state?.isClosed !== false;
  const pauses = new Pauses();
  for (let count = 0; ; ) {
    const { items, isCut } = table.open.first(AT_A_TIME);
    table.end(items.map(({ item, line }) => ended(item, JSON.parse(line))));
    count += items.length;
    await pauses.after(items.reduce((sum, { line }) => sum + line.length + ROW_WORK, 0));
    if (isOver()) return { at: null, hasEnded: true };
    if (!isCut) break;
    if (count >= END_PER_ALARM) return { at: Date.now(), hasEnded: true };
  }
  let from = state.place;
  let to: Place = from;
  let rest: EndedItem[] = [];
  let bytes = 0;
  const { item: first } = from;
  /** @returns whether it was there to be stored */
  const flush = async () => {
    if (isOver() || !table.read(from, to, [], rest, Date.now())) return false;
    const work = bytes + ROW_WORK * rest.length;
    from = to;
    [rest, bytes] = [[], 0];
    await pauses.after(work);
    return true;
  };
  if (from.item < order.items) {
    for await (const { text, next } of partLines(bucket, order, from)) {
      rest.push(ended(to.item, JSON.parse(text ?? '{}')));
      bytes += text?.length ?? 0;
      to = { offset: next, item: to.item + 1 };
      const isFull = rest.length === AT_A_TIME.items || bytes >= AT_A_TIME.bytes;
      if (isFull && !(await flush())) break;
      if (to.item - first >= END_PER_ALARM || to.item >= order.items) break;
    }
    if (rest.length > 0) await flush();
  }
  if (isOver()) return { at: null, hasEnded: true };
  return { at: from.item < order.items ? Date.now() : null, hasEnded: true };
}
