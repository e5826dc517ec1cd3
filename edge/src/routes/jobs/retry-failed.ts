/** `POST /v1/jobs/{id}/retry-failed`: a new job of the items of another that have no result. */
import { ApiError } from '@blip2/shared/errors';
import { ENDED } from '../../jobs/contract.ts';
import { failedLines } from '../../jobs/failed-lines.ts';
import { JOB_STORED_MS } from '../../jobs/job-index-contract.ts';
import { writeObject } from '../../jobs/object-writer.ts';
import { clientIn, type Handler } from '../app-context.ts';
import { jobOf, jobPartsOf } from './job-access.ts';
import { openJob } from './open-job.ts';
import { bucketOf, ownerOf, storedMsOf } from './owner.ts';
import { shownJob } from './present.ts';

/** Far more than there is of lines that were read once. */
const MAX_INPUT_BYTES = 2 ** 34;

export const retryFailed: Handler = async (c, deps) => {
  const { id, snapshot } = await jobOf(c, deps, 'job', c.req.param('job_id') ?? '');
  const { state, order, counts, createdAt } = snapshot;
  if (!ENDED.has(state)) {
    const detail = `This job is ${state}: wait for its end, or cancel it first.`;
    throw new ApiError('job-not-ready', detail);
  }
  if (counts.failed + counts.canceled === 0) {
    const detail =
      state === 'failed'
        ? 'This job failed before anything ran: mend the lines that its errors name, and create another.'
        : 'Every item of this job has a result: there is nothing to run again.';
    throw new ApiError('job-not-ready', detail);
  }
  const { webhook: _withoutSecrets, input: _read, owner: _same, ...same } = order;
  const again = {
    ...same,
    client: clientIn(c, deps.config),
    expiresAt: deps.now() + (order.expiresAt - createdAt),
    origin: new URL(c.req.url).origin,
    extra: { retry_of: id },
  };
  const stores = { parts: jobPartsOf(deps), bucket: bucketOf(deps) };
  const created = await openJob(deps, ownerOf(c, deps), again, {
    storedMs: storedMsOf(c, deps, JOB_STORED_MS),
    store: async ({ inputKey: key }) => {
      const limits = { maxBytes: MAX_INPUT_BYTES };
      await writeObject(stores.bucket, key, failedLines(stores, snapshot), limits);
      // As they are stored, they have the settings already.
      return { kind: 'file', key, form: 'batch' };
    },
  });
  const job = shownJob(created);
  return c.json(job, 202, { location: `/v1/jobs/${job.id}`, 'cache-control': 'no-store' });
};
