/** A piece of the results of a part that is not closed. */
import type { PartPage } from './contract.ts';
import type { PartTable } from './part-table.ts';

/** Of one page. */
const PAGE = { lines: 500, bytes: 2 ** 20 };

/**
 * Lines from an item on.
 * @param items of the part
 * @param overGaps whether items that have not ended are passed over; else the lines end before the first of them
 */
export function pageOf(
  table: Pick<PartTable, 'results'>,
  items: number,
  from: number,
  overGaps: boolean,
): PartPage {
  const lines: string[] = [];
  let next = from;
  const { rows, isCut } = table.results(from, PAGE);
  for (const { item, line } of rows) {
    if (item !== next && !overGaps) break;
    lines.push(line);
    next = item + 1;
  }
  const isWhole = next >= items;
  const goesOn = isCut && lines.length === rows.length && !isWhole;
  return { kind: 'lines', lines, next: goesOn ? next : null, isWhole };
}
