/** What is wrong with the input of a job as a whole. */
import type { JobOrder, LineError } from './contract.ts';

export const UNREADABLE: LineError = {
  line: null,
  code: 'server_error',
  message: 'The input could not be read, for reasons of this service: create the job again.',
  param: null,
};

export const EMPTY: LineError = {
  line: null,
  code: 'empty_file',
  message: 'The input has no items: each of its lines is one.',
  param: null,
};

export function duplicateOf(
  first: number,
  kind: JobOrder['kind'] | undefined,
): Omit<LineError, 'line'> {
  const param = kind === 'job' ? 'id' : 'custom_id';
  const message = `${param} is that of line ${first}: each item must have its own.`;
  return { code: 'duplicate_custom_id', message, param };
}
