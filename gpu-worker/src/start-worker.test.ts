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

it.each(['0.0.0.0', '::', '192.0.2.1', 'gpu.example', '127.0.0.1.example'])(
  'a worker that listens on %s without a secret does not start, and says what to set',
  async (host) => {
    // Where nobody asked for the secret, this worker would fail for want of its checkpoint.
    const config = withDefaults(WORKER_OPTIONS, { port: 0, host, checkpoint: '/nowhere' });
    await expect(startWorker(config)).rejects.toThrow(
      `BLIP2_WORKER_HOST=${host} lets other machines reach this worker, which would do what any of them asks: set BLIP2_WORKER_SECRET`,
    );
  },
);
