/** Gives every item of a part that was not run a line of its own, when its job was canceled or has expired. */
import type { BatchLine } from './contract.ts';
import type { Progress } from './fill-part.ts';
import { partLines } from './part-lines.ts';
import type { EndedItem, PartTable, Place } from './part-table.ts';
import { NEVER_RUN, unrepliedItem } from './results.ts';

/** Items that are ended in one go. */
const END_PER_ALARM = 2000;

/** Ends some of what has not ended, as its job has. */
export async function endRest(table: PartTable, bucket: R2Bucket): Promise<Progress> {
  const { state } = table;
  if (state === null || state.ending === null) return { at: null, hasEnded: false };
  const { order, ending } = state;
  const ended = (item: number, line: BatchLine) =>
    unrepliedItem({ part: order.part, item }, line, ending, NEVER_RUN[ending]);
  const open = table.open.first(END_PER_ALARM);
  table.end(open.map(({ item, line }) => ended(item, JSON.parse(line))));
  if (open.length === END_PER_ALARM) return { at: Date.now(), hasEnded: true };
  const from = state.place;
  let to: Place = from;
  const rest: EndedItem[] = [];
  if (from.item < order.items) {
    for await (const { text, next } of partLines(bucket, order, from)) {
      rest.push(ended(to.item, JSON.parse(text ?? '{}')));
      to = { offset: next, item: to.item + 1 };
      if (rest.length === END_PER_ALARM || to.item >= order.items) break;
    }
    table.read(from, to, [], rest, Date.now());
  }
  return { at: to.item < order.items ? Date.now() : null, hasEnded: true };
}
