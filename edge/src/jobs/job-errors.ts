/** What is wrong with the input of a job as a whole, or with its creation. */
import { ApiError } from '@blip2/shared/errors';
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

/** Of a job whose place among those of its owner may be gone: nobody could find or delete it. */
export function createdLate(): ApiError {
  const detail = 'The service took too long to create this job: create it again.';
  return new ApiError('deadline-exceeded', detail);
}

export function duplicateOf(
  first: number,
  kind: JobOrder['kind'] | undefined,
): Omit<LineError, 'line'> {
  const param = kind === 'job' ? 'id' : 'custom_id';
  const message = `${param} is that of line ${first}: each item must have its own.`;
  return { code: 'duplicate_custom_id', message, param };
}
