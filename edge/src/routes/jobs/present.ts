/** A job as clients see it. */
import type { Job, JobDeliveryList } from '@blip2/shared/schemas/jobs/job';
import { type JobTask, ROUTE_OF_TASK } from '@blip2/shared/schemas/jobs/request';
import { ID_PREFIXES, type JobSnapshot, type WebhookDelivery } from '../../jobs/contract.ts';

export function inSeconds(ms: number): number {
  return Math.floor(ms / 1000);
}

const orNull = (ms: number | null) => (ms === null ? null : inSeconds(ms));

/** The times of a job, as jobs and batches show them. */
export function shownTimes(job: JobSnapshot) {
  return {
    created_at: inSeconds(job.createdAt),
    in_progress_at: orNull(job.inProgressAt),
    expires_at: inSeconds(job.order.expiresAt),
    finalizing_at: orNull(job.finalizingAt),
    completed_at: orNull(job.completedAt),
    failed_at: orNull(job.failedAt),
    expired_at: orNull(job.expiredAt),
    cancelling_at: orNull(job.cancellingAt),
    cancelled_at: orNull(job.cancelledAt),
  };
}

/** Its webhook, without the secrets. @param secret that was made for it in this request */
export function shownWebhook({ order: { webhook } }: JobSnapshot, secret?: string) {
  if (webhook === undefined) return null;
  const { url, events } = webhook;
  return { url, events, ...(secret !== undefined && { secret }) };
}

/** @param secret of its webhook, that was made for it in this request */
export function shownJob(snapshot: JobSnapshot, secret?: string): Job {
  const { id, state, order, counts, ratePerSecond, errors } = snapshot;
  const left = counts.total - counts.completed - counts.failed - counts.canceled;
  const isKnown = state === 'in_progress' && ratePerSecond !== null && ratePerSecond > 0;
  return {
    id: `${ID_PREFIXES.job}${id}`,
    object: 'job',
    task: taskOf(order.url),
    status: state,
    items: counts,
    rate_per_second: ratePerSecond,
    seconds_left: isKnown ? Math.ceil(left / ratePerSecond) : null,
    errors,
    ...shownTimes(snapshot),
    usage: shownUsage(snapshot),
    metadata: order.metadata,
    retry_of: order.input.kind === 'failed-of' ? `${ID_PREFIXES.job}${order.input.job}` : null,
    webhook: shownWebhook(snapshot, secret),
  };
}

export function shownUsage({ usage }: JobSnapshot) {
  if (usage === null) return null;
  const { prompt_tokens, completion_tokens } = usage;
  return {
    input_tokens: prompt_tokens,
    output_tokens: completion_tokens,
    total_tokens: prompt_tokens + completion_tokens,
  };
}

/** The task that a route is of. */
export function taskOf(url: string): JobTask {
  const tasks = Object.keys(ROUTE_OF_TASK) as JobTask[];
  return tasks.find((task) => ROUTE_OF_TASK[task] === url) ?? 'caption';
}

export function shownDeliveries(deliveries: readonly WebhookDelivery[]): JobDeliveryList {
  return {
    object: 'list',
    data: deliveries.map(({ at, nextAt, ...same }) => ({
      ...same,
      at: inSeconds(at),
      next_attempt_at: orNull(nextAt),
    })),
  };
}
