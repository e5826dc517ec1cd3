/** Results of a job as CSV (RFC 4180): a row for each item, with what people look for in a column of its own. */
import type { JobResultLine } from '@blip2/shared/schemas/jobs/job';
import type { JobTask } from '@blip2/shared/schemas/jobs/request';
import * as z from 'zod/mini';

/** The member of a reply that a row has, which is also the name of its column. */
const MEMBERS: Record<JobTask, string> = {
  caption: 'caption',
  answer: 'answer',
  embeddings: 'embeddings',
  match: 'scores',
};

/**
 * New columns stand behind all others: programs read them by their places.
 * @example csvHeader('caption') // 'id,cursor,status,caption,error,warnings\r\n'
 */
export function csvHeader(task: JobTask): string {
  return row(['id', 'cursor', 'status', MEMBERS[task], 'error', 'warnings']);
}

/**
 * Texts are as they are, but for those that a spreadsheet would compute; lists are JSON. Warnings are their types.
 * @example csvRow('caption', line) // 'a.png,0:0,200,a dog,,outside-training\r\n'
 */
export function csvRow(task: JobTask, line: JobResultLine): string {
  const value = line.result?.[MEMBERS[task]];
  const text = typeof value === 'string' ? value : value === undefined ? '' : JSON.stringify(value);
  const error = line.error === null ? '' : `${line.error.code}: ${line.error.message}`;
  return row([line.id, line.cursor, String(line.status ?? ''), text, error, warningsOf(line)]);
}

/** Results are as they were stored: what has no types has no warnings. */
function warningsOf({ result }: JobResultLine): string {
  const { data = [] } = z.array(z.looseObject({ type: z.string() })).safeParse(result?.warnings);
  return data.map(({ type }) => type).join(' ');
}

/**
 * What spreadsheets take for a formula, some of them in full width too. Ids are a caller's, and texts may be what a model
 * has read in a stranger's image.
 */
const FORMULA = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/;

/** An apostrophe before it makes it a text, as OWASP recommends; in JSON lines all is as it was. */
function inert(cell: string): string {
  return FORMULA.test(cell) ? `'${cell}` : cell;
}

function row(cells: readonly string[]): string {
  const quoted = cells
    .map(inert)
    .map((cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell));
  return `${quoted.join(',')}\r\n`;
}
