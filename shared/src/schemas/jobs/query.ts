/** How jobs are listed, and their results read. */
import * as z from 'zod/mini';
import { described } from '../described.ts';

/** Jobs of one page: each is asked how it is. */
export const MAX_JOB_PAGE = 100;

const limit = described(
  z.optional(z.int().check(z.gte(1), z.lte(MAX_JOB_PAGE))),
  'How many there are in a page at most; 20 where nothing is said.',
  20,
);

const after = (example: string) =>
  described(
    z.optional(z.string().check(z.maxLength(128))),
    'Id of the last entry of the page before.',
    example,
  );

export const JobQuery = z.strictObject({ after: after('job_3f0c9d1e5a7b48c2'), limit });
export const BatchQuery = z.strictObject({ after: after('batch_3f0c9d1e5a7b48c2'), limit });

export const JobDeleteQuery = z.strictObject({
  purge: described(
    z.optional(z.boolean()),
    'Whether a job that has ended is deleted, with its lines, images and results. Without it the job is canceled, and one that has ended stays as it is: whoever cancels too late, or twice, loses nothing.',
    false,
  ),
});

export const RESULT_FORMATS = ['ndjson', 'csv'] as const;
export const RESULT_STATES = ['all', 'completed', 'failed'] as const;

export const JobResultsQuery = z.strictObject({
  format: described(
    z.optional(z.enum(RESULT_FORMATS)),
    '`ndjson` or `csv`; it wins over `Accept`. JSON lines where nothing is said.',
    'csv',
  ),
  status: described(
    z.optional(z.enum(RESULT_STATES)),
    'Which items: `completed`, `failed` (those that were not run, too), or `all`, as it is without it.',
    'failed',
  ),
  cursor: described(
    z.optional(
      z
        .string()
        .check(
          z.regex(
            /^\d{1,6}:\d{1,6}$/,
            'must be the number of a part and of an item within it, as 3:17',
          ),
        ),
    ),
    'The `cursor` of the last line that was read: the reply begins behind it.',
    '0:0',
  ),
  gaps: described(
    z.optional(z.boolean()),
    'While the job runs, whether items that have not ended are passed over. Without it, lines end before the first of them, so that whoever goes on from `cursor` misses none.',
    true,
  ),
});
