/** What is shown of a job. */
import { ENDED, type JobSnapshot } from './contract.ts';
import type { JobTable } from './job-table.ts';

/** @param ratePerSecond null where that is not known */
export function snapshotOf(table: JobTable, ratePerSecond: number | null): JobSnapshot {
  const { record } = table;
  if (record === null) throw new Error('there is no such job');
  const { id, order, state, times } = record;
  const { webhook, ...shown } = order;
  const { parts, total, completed, failed, canceled, usage, resultBytes } = table.totals();
  const { createdAt = 0 } = times;
  const hasRun = times.inProgressAt !== undefined;
  return {
    id,
    order: {
      ...shown,
      ...(webhook && { webhook: { url: webhook.url, events: webhook.events } }),
    },
    state,
    createdAt,
    inProgressAt: times.inProgressAt ?? null,
    finalizingAt: times.finalizingAt ?? null,
    completedAt: times.completedAt ?? null,
    failedAt: times.failedAt ?? null,
    cancellingAt: times.cancellingAt ?? null,
    cancelledAt: times.cancelledAt ?? null,
    expiredAt: times.expiredAt ?? null,
    counts: hasRun
      ? { total, completed, failed, canceled }
      : { total: 0, completed: 0, failed: 0, canceled: 0 },
    parts: hasRun && !record.isEmptied ? parts : 0,
    ratePerSecond: ENDED.has(state) ? null : ratePerSecond,
    errors: table.errors(),
    usage: hasRun ? usage : null,
    deleted: record.deleted ?? [],
    resultBytes,
  };
}
