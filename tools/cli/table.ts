/** Jobs as a table on a terminal. */
import type { Job } from '@blip2/shared/schemas/jobs/job';

/** @example jobTable(jobs) // 'ID  STATUS  TASK  COMPLETED  FAILED  CREATED\njob_…' */
export function jobTable(jobs: readonly Job[]): string {
  const rows = jobs.map(({ id, status, task, items, created_at }) => [
    id,
    status,
    task,
    `${items.completed}/${items.total}`,
    String(items.failed),
    new Date(1000 * created_at).toISOString(),
  ]);
  const all = [['ID', 'STATUS', 'TASK', 'COMPLETED', 'FAILED', 'CREATED'], ...rows];
  const widths = all[0]!.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
