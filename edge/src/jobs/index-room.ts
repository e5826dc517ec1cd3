/** Whether one owner has room for another file or job, and which jobs make room. */
import { ApiError } from '@blip2/shared/errors';
import { type JobRoom, MAX_FILES, MAX_OPEN_JOBS, MAX_STORED_BYTES } from './job-index-contract.ts';
import type { JobListTable } from './job-list-table.ts';

export function tooManyFiles(actual: number): ApiError {
  const detail = `${MAX_FILES} files are stored: delete some that are no longer needed.`;
  return new ApiError('storage-full', detail, { limit: MAX_FILES, actual });
}

export function noRoom(stored: number, more: number): ApiError | undefined {
  const actual = stored + more;
  if (actual <= MAX_STORED_BYTES) return undefined;
  const detail = `Files of ${stored} bytes are stored, and at most ${MAX_STORED_BYTES} are: delete some that are no longer needed.`;
  return new ApiError('storage-full', detail, { limit: MAX_STORED_BYTES, actual });
}

/** Of jobs that have not ended none makes room. */
export function noRoomForJob(
  jobs: Pick<JobListTable, 'live' | 'open' | 'resultBytes'>,
  room: JobRoom,
  now: number,
): ApiError | undefined {
  const refuses = room.beyond === 'refuse';
  if (refuses && jobs.live(now) >= room.jobs) {
    const detail = `${room.jobs} jobs are stored: delete jobs that have ended, with purge=true, or all files of such batches.`;
    return new ApiError('storage-full', detail, { limit: room.jobs });
  }
  if (jobs.open().length >= MAX_OPEN_JOBS) {
    const detail = `${MAX_OPEN_JOBS} jobs have not ended: wait for one of them, or cancel it.`;
    return new ApiError('storage-full', detail, { limit: MAX_OPEN_JOBS, retry_after: 60 });
  }
  const limit = room.resultBytes;
  const actual = jobs.resultBytes(now, refuses ? 'all' : 'open');
  if (actual < limit) return undefined;
  const stored = `Results of jobs have ${actual} bytes, and another is added below ${limit}: `;
  const advice = refuses
    ? 'delete jobs that have ended, with purge=true, or all files of such batches.'
    : 'wait for one of those that have not ended, or cancel it.';
  return new ApiError('storage-full', stored + advice, { limit, actual });
}

/** The oldest that have ended expire, until what is left is no more than there is room for. */
export function expireBeyond(
  jobs: Pick<JobListTable, 'count' | 'resultBytes' | 'expireOldest' | 'expireResults'>,
  room: JobRoom,
  now: number,
): void {
  jobs.expireOldest(jobs.count() - room.jobs, now);
  jobs.expireResults(jobs.resultBytes(now) - room.resultBytes + 1, now);
}
