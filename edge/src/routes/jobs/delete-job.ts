/** `DELETE /v1/jobs/{id}`: cancels a job; where it says `purge`, deletes one that has ended. */
import { ApiError } from '@blip2/shared/errors';
import type { JobDeleted } from '@blip2/shared/schemas/jobs/job';
import { JobDeleteQuery } from '@blip2/shared/schemas/jobs/query';
import { readQuery } from '../../http/read-query.ts';
import { ID_PREFIXES } from '../../jobs/contract.ts';
import type { Handler } from '../app-context.ts';
import { jobOf } from './job-access.ts';
import { shownJob } from './present.ts';

const NOT_STORED = { 'cache-control': 'no-store' };

export const deleteJob: Handler = async (c, deps) => {
  const { purge = false } = readQuery(c.req.url, JobDeleteQuery);
  const { id, job, snapshot } = await jobOf(c, deps, 'job', c.req.param('job_id') ?? '');
  if (!purge) return c.json(shownJob((await job.cancel(id)) ?? snapshot), 200, NOT_STORED);
  if (!(await job.purge(id))) {
    const detail = `purge: this job is ${snapshot.state}: cancel it (without purge), and delete it when it has ended.`;
    throw new ApiError('job-not-ready', detail, { field: 'purge' });
  }
  const deleted: JobDeleted = { id: `${ID_PREFIXES.job}${id}`, object: 'job', deleted: true };
  return c.json(deleted, 200, NOT_STORED);
};
