/** A piece of the results of a part that is not closed. */
import type { PartPage } from './contract.ts';
import type { PartTable } from './part-table.ts';

/** Lines of one page, and their characters. */
const PAGE_LINES = 500;
const PAGE_CHARACTERS = 2 ** 20;

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
  let characters = 0;
  let next = from;
  let isCut = false;
  for (const { item, line } of table.results(from, PAGE_LINES)) {
    if (item !== next && !overGaps) break;
    if (characters > 0 && characters + line.length > PAGE_CHARACTERS) {
      isCut = true;
      break;
    }
    lines.push(line);
    characters += line.length;
    next = item + 1;
  }
  isCut ||= lines.length === PAGE_LINES;
  const isWhole = next >= items;
  return { kind: 'lines', lines, next: isCut && !isWhole ? next : null, isWhole };
}
