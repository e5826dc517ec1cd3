/** What an owner's object asks of its jobs, and what it deletes of jobs and uploads whose time is over. */
import { logError } from '../log.ts';
import { objectIdOf } from '../predictions/ids.ts';
import { ENDED, inputKey, type JobObject, type JobSnapshot } from './contract.ts';
import { CREATION_MS, LONGEST_UPLOAD_MS } from './job-index-contract.ts';
import type { JobListTable, OpenJob } from './job-list-table.ts';
import type { PartedUpload } from './job-upload-table.ts';

type Jobs = DurableObjectNamespace | undefined;

export const RETRY_MS = 60_000;
/** Deleted in one go; the rest has its turn at once. */
export const MAX_TOGETHER = 100;
/** Jobs that are asked whether they have ended. */
const ASKED_TOGETHER = 8;

/** Counts out those that have ended, or are none, until there is room for one. */
export async function closeEnded(
  table: Pick<JobListTable, 'open' | 'close' | 'closeWithResults' | 'noteCreation' | 'abandon'>,
  jobs: Jobs,
  isTaken: () => boolean,
): Promise<void> {
  // Without a binding nobody knows which there are.
  if (jobs === undefined) return;
  const open = table.open();
  // One place is needed, and each that is asked is woken.
  for (let from = 0; isTaken() && from < open.length; from += ASKED_TOGETHER) {
    const some = open.slice(from, from + ASKED_TOGETHER);
    const snapshots = await Promise.all(some.map(async ({ id }) => await snapshotOf(jobs, id)));
    for (const [index, job] of some.entries()) {
      const snapshot = snapshots[index];
      const now = Date.now();
      if (!snapshot) {
        if (mayStillCome(job, now)) continue;
        table.abandon(job.id, now);
      } else if (ENDED.has(snapshot.state)) {
        table.noteCreation(job.id);
        if (hasResults(snapshot)) table.closeWithResults(job.id);
        else table.close(job.id);
      }
    }
  }
}

/** Whether its creation may be under way. */
function mayStillCome({ createdAt, createdBy }: OpenJob, now: number): boolean {
  // Of an earlier version nobody knows whether its lines are there.
  return now < (createdBy ?? createdAt + LONGEST_UPLOAD_MS + 2 * CREATION_MS);
}

function hasResults({ counts }: JobSnapshot): boolean {
  return counts.completed + counts.failed + counts.canceled > 0;
}

/** Places whose lines never came, and those whose creation broke off, are gone. */
export async function deletePlaces(
  table: Pick<
    JobListTable,
    'silent' | 'undecided' | 'noteCreation' | 'abandon' | 'expectLater' | 'remove'
  >,
  jobs: Jobs,
  bucket: () => R2Bucket,
  owner: string,
): Promise<void> {
  for (const id of jobs === undefined ? [] : table.undecided(Date.now(), MAX_TOGETHER)) {
    table.expectLater(id, Date.now() + RETRY_MS);
    try {
      if (await snapshotOf(jobs, id)) table.noteCreation(id);
      else table.abandon(id, Date.now());
    } catch (thrown) {
      // One that cannot be asked holds up none.
      logError('creation of a job', { request_id: owner, cause: String(thrown) });
    }
  }
  const silent = table.silent(Date.now(), MAX_TOGETHER);
  if (silent.length === 0) return;
  await bucket().delete(silent.map((id) => inputKey(owner, id)));
  for (const id of silent) table.remove(id);
}

async function snapshotOf(jobs: Jobs, id: string): Promise<JobSnapshot | null> {
  return (await jobOf(jobs, id)?.snapshot(id)) ?? null;
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
