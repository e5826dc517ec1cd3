/** A queue of jobs on a server of SQS that runs already. */

import { readConfig } from '@blip2/gpu-worker/config';
import { jobsConfigOf } from '@blip2/gpu-worker/job-options';
import { createSqsClient, Queue } from '@blip2/gpu-worker/jobs/queue';
import { SILENT } from '@blip2/gpu-worker/logger';
import { expect, it, vi } from 'vitest';
import { createJobQueue, existingServer } from '../../tools/existing-job-queue.ts';
import { startJobQueue } from '../../tools/job-queue.ts';

it('is made with its dead-letter queue, has what workers start with, and is deleted at the end', async () => {
  const other = await startJobQueue({ edgeUrl: 'http://127.0.0.1:1', folder: false });
  const server = existingServer({ ...other.vars, SQS_ENDPOINT: other.vars.JOBS_QUEUE_ENDPOINT });
  if (server === null) throw new Error('no server');
  const queue = await createJobQueue(server, { edgeUrl: 'http://127.0.0.1:2', maxReceives: 1 });
  vi.stubEnv('AWS_ACCESS_KEY_ID', server.accessKeyId);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', server.secretAccessKey);
  const config = jobsConfigOf(readConfig(queue.workerEnv));
  if (config?.deadLetterUrl === undefined) throw new Error('not whole');
  const client = createSqsClient(config);
  const { signal } = new AbortController();
  const receive = async (url: string) =>
    await new Queue(client, url, 0, SILENT).receive(1, { mayWait: false, signal });
  expect(config.queueUrl).not.toBe(other.workerEnv.BLIP2_JOBS_QUEUE_URL);
  expect(await receive(config.queueUrl)).toEqual([]);
  expect(await receive(config.deadLetterUrl)).toEqual([]);
  await queue.stop();
  await expect(receive(config.queueUrl)).rejects.toThrow(/queue/i);
  client.destroy();
  vi.unstubAllEnvs();
  await other.stop();
});

it('needs the credentials', () => {
  expect(existingServer({})).toBeNull();
  expect(() => existingServer({ SQS_ENDPOINT: 'http://127.0.0.1:1' })).toThrow('AWS_ACCESS_KEY_ID');
});
