/** The jobs of a local stack: their queue, and what stands between it, the edge and the GPU workers. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { freePort } from '@blip2/gpu-worker/check-port';
import { createJobQueue, type ExistingServer } from './existing-job-queue.ts';
import { type JobQueue, type JobQueueOptions, startJobQueue } from './job-queue.ts';
import { S3_PATH, type ServeOptions } from './serve-worker.ts';

export type StackJobs = Pick<JobQueueOptions, 'maxReceives'> & {
  /** A server of SQS that runs already; null, or nothing, starts one. */
  server?: ExistingServer | null;
  /** Stands between edge and queue: gets the address of the queue's server, and returns the one that the edge sends to. */
  toQueue?: (endpoint: string) => Promise<string>;
  /** Stands between GPU workers and edge: gets the address of the edge, and returns the one that they commit to. */
  toEdge?: (edgeUrl: string) => Promise<string>;
};

/** @throws Error when the server of the queue cannot start */
export async function startStackJobs(
  { server = null, toQueue, toEdge, ...options }: StackJobs,
  { edgeUrl, persist }: { edgeUrl: string; persist: string | false },
): Promise<JobQueue> {
  const folder = persist === false ? false : join(persist, 'job-queue');
  const settings = { ...options, edgeUrl: (await toEdge?.(edgeUrl)) ?? edgeUrl };
  const queue =
    server === null
      ? await startJobQueue({ ...settings, folder })
      : await createJobQueue(server, settings);
  const endpoint = queue.vars.JOBS_QUEUE_ENDPOINT ?? '';
  const JOBS_QUEUE_ENDPOINT = (await toQueue?.(endpoint)) ?? endpoint;
  return { ...queue, vars: { ...queue.vars, JOBS_QUEUE_ENDPOINT } };
}

type LocalS3 = NonNullable<ServeOptions['s3']>;

/** Of the bucket with the files of jobs in wrangler.toml. */
const BUCKET = 'blip2-jobs';
const LOOPBACK = '127.0.0.1';

/** A free port for the buckets of the edge, and who may sign for them. */
export async function localS3(): Promise<LocalS3> {
  const variables = { host: 'HOST', port: 'PORT' };
  const port = await freePort({ host: LOOPBACK, port: 0 }, { variables });
  const secret = () => randomBytes(24).toString('hex');
  return { port, accessKeyId: secret(), secretAccessKey: secret() };
}

/** Variables of the edge that signs URLs of it. */
export function imageBucketOf({ port, accessKeyId, secretAccessKey }: LocalS3) {
  return {
    JOBS_IMAGE_BUCKET_URL: `http://${LOOPBACK}:${port}${S3_PATH}/${BUCKET}`,
    JOBS_IMAGE_BUCKET_KEY_ID: accessKeyId,
    JOBS_IMAGE_BUCKET_SECRET: secretAccessKey,
  };
}
