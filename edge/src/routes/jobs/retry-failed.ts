/** `POST /v1/jobs/{id}/retry-failed`: a new job of the items of another that have no result. */

import { ApiError } from '@blip2/shared/errors';
import { RetryRequest } from '@blip2/shared/schemas/jobs/request';
import { validate } from '@blip2/shared/validate';
import { originOf } from '../../http/origin.ts';
import { readAnyJsonObject } from '../../http/request-body.ts';
import { ENDED } from '../../jobs/contract.ts';
import { JOB_STORED_MS, ROOM_OF } from '../../jobs/job-index-contract.ts';
import { clientIn, type Handler, readingOf, traceIn } from '../app-context.ts';
import { jobOf } from './job-access.ts';
import { openJob } from './open-job.ts';
import { beginOpening } from './opening-turns.ts';
import { isOfKey, jobSender, ownerNamed, ownerOf, roomOf, storedMsOf } from './owner.ts';
import { shownJob } from './present.ts';
import { webhookOf } from './webhook.ts';

export const retryFailed: Handler = async (c, deps) => {
  const takeTurn = await beginOpening(c, ownerOf(c, deps).id);
  const { id, job, snapshot } = await jobOf(c, deps, 'job', c.req.param('job_id') ?? '');
  const body = await readAnyJsonObject(c.req.raw, readingOf(c, deps), ['webhook']);
  const asked = validate(RetryRequest, body);
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
  const { webhook, secret } =
    asked.webhook === undefined
      ? { webhook: (await job.webhook(id)) ?? undefined }
      : webhookOf('job', asked.webhook ?? undefined, deps);
  await takeTurn();
  const again = {
    ...same,
    // What is tried again is lines, which no longer say where their images are.
    ...(order.input.kind === 'prefix' && { isOfBucket: true }),
    ...(isOfKey(order) && { isOfKey: true }),
    client: clientIn(c, deps.config),
    sender: jobSender(c, deps),
    ...(webhook && { webhook }),
    expiresAt: deps.now() + (order.expiresAt - createdAt),
    origin: originOf(c.req.url),
  };
  const owner = ownerNamed(deps, order.owner);
  const created = await openJob(deps, owner, again, {
    storedMs: storedMsOf(c, deps, JOB_STORED_MS),
    room: isOfKey(order) ? ROOM_OF.key : roomOf(c, deps),
    trace: traceIn(c),
    reads: id,
    store: async () => ({ kind: 'failed-of', job: id }),
  });
  const shown = shownJob(created, secret);
  c.get('onNamed')?.(shown.id);
  return c.json(shown, 202, { location: `/v1/jobs/${shown.id}`, 'cache-control': 'no-store' });
};
