/** The lines of results as clients read them: those of a job, and those of the files of a batch. */
import type { JobResultLine } from '@blip2/shared/schemas/jobs/job';
import type { ResultLine } from '../../jobs/contract.ts';
import { completedLine, parsedLine } from '../../jobs/stored-line.ts';

/** @example jobLine(line) // { id: 'one', cursor: '0:0', status: 200, result: { caption: … }, error: null } */
export function jobLine(line: ResultLine): JobResultLine {
  const { part, item, custom_id, outcome, status, body } = line;
  const isDone = outcome === 'completed';
  return {
    id: custom_id,
    cursor: `${part}:${item}`,
    status,
    result: isDone ? (body as JobResultLine['result']) : null,
    error: isDone ? null : errorOf(line),
  };
}

/** `jobLine` of a stored line, as JSON with the end of a line. */
export function jobLineText(stored: string): string {
  const completed = completedLine(stored);
  if (completed === null) return `${JSON.stringify(jobLine(parsedLine(stored)))}\n`;
  const { part, item, id, status, body } = completed;
  return `{"id":${id},"cursor":"${part}:${item}","status":${status},"result":${body},"error":null}\n`;
}

/** A line of a batch's output file, or of its error file. @param batch its id, without what ids begin with */
export function batchLine(line: ResultLine, batch: string): object {
  const { part, item, custom_id, status, body, error } = line;
  const id = lineIdOf(batch, part, item);
  if (status !== null && body !== null) {
    const response = { status_code: status, request_id: id, body };
    return { id, custom_id, response, error: null };
  }
  return { id, custom_id, response: null, error: error ?? errorOf(line) };
}

/** `batchLine` of a stored line, as JSON with the end of a line. */
export function batchLineText(stored: string, batch: string): string {
  const completed = completedLine(stored);
  if (completed === null) return `${JSON.stringify(batchLine(parsedLine(stored), batch))}\n`;
  const { part, item, status, body } = completed;
  const id = lineIdOf(batch, part, item);
  const response = `{"status_code":${status},"request_id":"${id}","body":${body}}`;
  return `{"id":"${id}","custom_id":${completed.id},"response":${response},"error":null}\n`;
}

function lineIdOf(batch: string, part: number | string, item: number | string): string {
  return `batch_req_${batch.slice(0, 16)}_${part}_${item}`;
}

/** The problem of an item: that of the refusal that its request got, or why there is no reply. */
function errorOf({ outcome, body, error }: ResultLine): { code: string; message: string } {
  // What was not run is called so by clients of OpenAI's API.
  const isRun = outcome === 'completed' || outcome === 'failed';
  if (error !== null) return isRun ? error : { code: outcome, message: error.message };
  const { type = '', detail = '' } = (body ?? {}) as { type?: string; detail?: string };
  const slug = type.replace(/^.*\/problems\//, '');
  return { code: slug || outcome, message: detail || `This item was ${outcome}.` };
}
