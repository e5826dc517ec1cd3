/** Whether one owner has room for another file or job, and which jobs make room. */
import { ApiError } from '@blip2/shared/errors';
import type { JobFileTable } from './job-file-table.ts';
import { type JobRoom, MAX_FILES, MAX_OPEN_JOBS, MAX_STORED_BYTES } from './job-index-contract.ts';
import type { JobListTable } from './job-list-table.ts';
import type { JobUploadTable } from './job-upload-table.ts';

type Stored = {
  files: Pick<JobFileTable, 'total' | 'expireOldest'>;
  uploads: Pick<JobUploadTable, 'bytes'>;
};

/**
 * What one owner is about to store.
 * @property files places of files that are to be taken
 * @property but an upload that does not count: these bytes are in place of it
 */
type More = { files: number; bytes: number; but?: string; beyond: JobRoom['beyond'] };

/** The problem that there is no room for more files, or bytes. Where `beyond` says so, the oldest files have made it, as far as they may. */
export function noRoomForFiles({ files, uploads }: Stored, more: More, now: number) {
  const used = () => {
    const stored = files.total(now);
    return { files: stored.files, bytes: stored.bytes + uploads.bytes(more.but) };
  };
  let { files: count, bytes } = used();
  if (more.beyond === 'delete') {
    const needed = {
      files: count + more.files - MAX_FILES,
      bytes: bytes + more.bytes - MAX_STORED_BYTES,
    };
    // The next alarm deletes them: nobody waits for it.
    files.expireOldest(needed, now);
    ({ files: count, bytes } = used());
  }
  return count + more.files > MAX_FILES ? tooManyFiles(count) : noRoom(bytes, more.bytes);
}

function tooManyFiles(actual: number): ApiError {
  const detail = `${MAX_FILES} files are stored: delete some that are no longer needed.`;
  return new ApiError('storage-full', detail, { limit: MAX_FILES, actual });
}

function noRoom(stored: number, more: number): ApiError | undefined {
  const actual = stored + more;
  if (actual <= MAX_STORED_BYTES) return undefined;
  const detail = `Files of ${stored} bytes are stored, and at most ${MAX_STORED_BYTES} are: delete some that are no longer needed.`;
  return new ApiError('storage-full', detail, { limit: MAX_STORED_BYTES, actual });
}

export function placeGone(): ApiError {
  const detail =
    'The place of this file is gone: it took more than an hour to come, or nothing was heard of its upload for a minute.';
  return new ApiError('deadline-exceeded', detail);
}

/** Of jobs that have not ended none makes room. */
export function noRoomForJob(
  jobs: Pick<JobListTable, 'live' | 'openCount' | 'resultBytes'>,
  room: JobRoom,
  now: number,
): ApiError | undefined {
  const refuses = room.beyond === 'refuse';
  if (refuses && jobs.live(now) >= room.jobs) {
    const detail = `${room.jobs} jobs are stored: delete jobs that have ended, with purge=true, or all files of such batches.`;
    return new ApiError('storage-full', detail, { limit: room.jobs });
  }
  if (jobs.openCount(now) >= MAX_OPEN_JOBS) {
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
  jobs.expireOldest(jobs.count(now) - room.jobs, now);
  jobs.expireResults(jobs.resultBytes(now) - room.resultBytes + 1, now);
}
