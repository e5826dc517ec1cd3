/** What becomes of the parts of a job. */
import type { PartFate } from './contract.ts';
import type { JobRecord } from './job-table.ts';

/** @param record null where there is no such job any more */
export function fateOf(record: JobRecord | null, now: number): PartFate {
  if (record === null) return 'gone';
  if (record.state === 'cancelling' || record.state === 'cancelled') return 'canceled';
  return now >= record.order.expiresAt || record.state === 'expired' ? 'expired' : 'runs';
}
