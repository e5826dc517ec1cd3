/** Messages of the queue as items of jobs. */
import { JobMessage } from '@blip2/shared/jobs/message';
import type { Logger } from '../logger.ts';
import type { Received } from './queue.ts';

export type Item = { message: JobMessage; received: Received };

/** Null, and logged, where it is no item that this version knows. */
export function itemOf(received: Received, log: Logger): Item | null {
  let value: unknown;
  try {
    value = JSON.parse(received.body);
  } catch {
    // No item either.
  }
  const { data, error } = JobMessage.safeParse(value);
  if (data !== undefined) return { message: data, received };
  const { path = [], message: problem } = error.issues[0] ?? {};
  log.error('no-item', { field: path.join('.'), problem, receives: received.receives });
  return null;
}

/** The same in logs here and at the edge. @example 'job-5e3f0c9d-12-345' */
export function nameOf({ job, part, item }: JobMessage): string {
  return `job-${job.slice(0, 32)}-${part}-${item}`;
}
