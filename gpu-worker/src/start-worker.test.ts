import { withDefaults } from '@blip2/shared/config/option';
import { expect, it } from 'vitest';
import { WORKER_OPTIONS } from './config.ts';
import { startWorker } from './start-worker.ts';

it('a worker that lacks some of what jobs need does not start, and names it', async () => {
  const config = withDefaults(WORKER_OPTIONS, { port: 0, jobsQueueUrl: 'http://127.0.0.1/jobs' });
  await expect(startWorker(config)).rejects.toThrow(
    'To run jobs, BLIP2_JOBS_EDGE_URL and BLIP2_JOBS_SECRET must be set too.',
  );
});
