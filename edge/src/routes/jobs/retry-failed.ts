/** `POST /v1/jobs/{id}/retry-failed`: a new job of the items of another that have no result. */
import { ApiError } from '@blip2/shared/errors';
import { ENDED } from '../../jobs/contract.ts';
import { JOB_STORED_MS } from '../../jobs/job-index-contract.ts';
import { clientIn, type Handler } from '../app-context.ts';
import { jobOf } from './job-access.ts';
import { openJob } from './open-job.ts';
import { jobSender, ownerNamed, storedMsOf } from './owner.ts';
import { shownJob } from './present.ts';

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
    sender: jobSender(c, deps),
    expiresAt: deps.now() + (order.expiresAt - createdAt),
    origin: new URL(c.req.url).origin,
  };
  const owner = ownerNamed(deps, order.owner);
  const created = await openJob(deps, owner, again, {
    storedMs: storedMsOf(c, deps, JOB_STORED_MS),
    store: async () => ({ kind: 'failed-of', job: id }),
  });
  const job = shownJob(created);
  return c.json(job, 202, { location: `/v1/jobs/${job.id}`, 'cache-control': 'no-store' });
};
