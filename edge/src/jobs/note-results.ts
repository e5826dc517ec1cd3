/** Says to the object of a job's owner what its results have: there they count together with those of its other jobs. */
import { logError } from '../log.ts';
import { ENDED } from './contract.ts';
import type { JobIndexObject } from './job-index-contract.ts';
import type { JobTable } from './job-table.ts';

/** A job that runs says it when it has so much more: a small one only at its end. */
const STEP_BYTES = 2 ** 30;

/** @returns whether there is nothing that is still to be said; never throws */
export async function noteResults(
  table: Pick<JobTable, 'record' | 'totals' | 'update'>,
  index: Pick<JobIndexObject, 'noteResults'> | null,
): Promise<boolean> {
  const { record } = table;
  if (record === null || index === null) return true;
  const { id, state, isEmptied, notedResults: known = { bytes: 0, hasEnded: false } } = record;
  const { resultBytes, completed, failed, canceled } = table.totals();
  const bytes = isEmptied ? 0 : resultBytes;
  const hasEnded = ENDED.has(state);
  if (!hasEnded && bytes - known.bytes < STEP_BYTES) return true;
  // One that has run may be listed with results until it says that it has none; another never is.
  const hasRun = completed + failed + canceled > 0;
  if (bytes === known.bytes && (known.hasEnded || (bytes === 0 && !hasRun))) return true;
  try {
    await index.noteResults(id, { bytes, hasEnded });
  } catch (thrown) {
    logError('results of a job', { request_id: `job-${id.slice(0, 32)}`, cause: String(thrown) });
    return false;
  }
  // Meanwhile it may have been deleted.
  if (table.record !== null) table.update({ notedResults: { bytes, hasEnded } });
  return true;
}
