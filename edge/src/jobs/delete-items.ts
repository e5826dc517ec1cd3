/** Deletes all that is stored of the items of a job that has ended: its lines, images and results, and its parts. */
import { jobPrefix, partKey, type ResultState } from './contract.ts';
import { deleteAll } from './delete-all.ts';
import type { JobParts } from './job-parts.ts';
import type { JobTable } from './job-table.ts';

const RESULT_STATES: readonly ResultState[] = ['completed', 'failed'];

/** Whether nobody can read any of its results any more, but they are still stored. */
export function isUnread(table: JobTable): boolean {
  const { deleted, isEmptied } = table.record ?? {};
  if (deleted === undefined || isEmptied) return false;
  const { completed, failed, canceled } = table.totals();
  const isThere = { completed: completed > 0, failed: failed + canceled > 0 };
  return RESULT_STATES.every((which) => !isThere[which] || deleted.includes(which));
}

/** Begins with what shows that the rest may be missing. Again it does what is left. */
export async function deleteItems(
  table: JobTable,
  bucket: R2Bucket,
  parts: JobParts,
): Promise<void> {
  const { record } = table;
  if (record === null) return;
  const { id: job, order } = record;
  const { owner } = order;
  // Whoever still reads its lines, to run some of them again, looks whether this one is there when it has read them.
  await bucket.delete(partKey({ owner, job, part: 0 }, 'in'));
  await parts.forget();
  await deleteAll(bucket, jobPrefix(owner, job));
  table.update({ isEmptied: true });
}
