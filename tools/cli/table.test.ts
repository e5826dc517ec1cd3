/** Which columns a table of jobs has, and what they count. */
import type { Job } from '@blip2/shared/schemas/jobs/job';
import { expect, it } from 'vitest';
import { jobTable } from './table.ts';

it('counts the items that are completed, and none that were canceled', () => {
  const items = { total: 480, completed: 12, failed: 3, canceled: 465 };
  const job = { id: 'job_1', status: 'cancelled', task: 'caption', items, created_at: 0 };
  const [head, row] = jobTable([job as Job]).split('\n');
  expect(head).toMatch(/^ID +STATUS +TASK +COMPLETED +FAILED +CREATED$/);
  expect(row).toMatch(/^job_1 +cancelled +caption +12\/480 +3 +1970-/);
});
