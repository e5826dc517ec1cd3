/** What an owner's object asks of its jobs, and what it deletes of jobs and uploads whose time is over. */
import { logError } from '../log.ts';
import { objectIdOf } from '../predictions/ids.ts';
import { ENDED, inputKey, type JobObject } from './contract.ts';
import { CREATION_MS, LONGEST_UPLOAD_MS } from './job-index-contract.ts';
import type { PartedUpload } from './job-upload-table.ts';

type Jobs = DurableObjectNamespace | undefined;

/** Whether a job has ended, or is none: one whose lines are still to come may take as long as an upload. */
export async function hasEnded(
  jobs: Jobs,
  { id, createdAt }: { id: string; createdAt: number },
): Promise<boolean> {
  const snapshot = await jobOf(jobs, id)?.snapshot(id);
  if (snapshot) return ENDED.has(snapshot.state);
  return createdAt + LONGEST_UPLOAD_MS + 2 * CREATION_MS <= Date.now();
}

/** @returns whether nothing is left of it */
export async function forgetJob(
  jobs: Jobs,
  bucket: R2Bucket,
  id: string,
  owner: string,
): Promise<boolean> {
  const job = jobOf(jobs, id);
  // One that has not ended, though its time is over, may have lost its alarm.
  await job?.snapshot(id);
  if (job !== null && !(await job.forget(id))) {
    await job.cancel(id);
    return false;
  }
  // Its creation may have been stopped when its lines were there.
  await bucket.delete(inputKey(owner, id));
  return true;
}

/** @returns whether there is no such upload any more */
export async function abortUpload(
  bucket: R2Bucket,
  { id, key }: Pick<PartedUpload, 'id' | 'key'>,
  owner: string,
): Promise<boolean> {
  try {
    await bucket.resumeMultipartUpload(key, id).abort();
    return true;
  } catch (thrown) {
    const cause = String(thrown);
    // It was completed, or aborted.
    if (/10024|does not exist/.test(cause)) return true;
    logError('abort of an upload', { request_id: owner, cause });
    return false;
  }
}

function jobOf(jobs: Jobs, id: string): JobObject | null {
  const named = jobs && objectIdOf(jobs, id);
  return jobs && named ? (jobs.get(named) as unknown as JobObject) : null;
}
