/** The jobs of a local stack: their queue, and what stands between it, the edge and the GPU workers. */
import { join } from 'node:path';
import { type JobQueue, type JobQueueOptions, startJobQueue } from './job-queue.ts';

export type StackJobs = Pick<JobQueueOptions, 'maxReceives'> & {
  /** Stands between edge and queue: gets the address of the queue's server, and returns the one that the edge sends to. */
  toQueue?: (endpoint: string) => Promise<string>;
  /** Stands between GPU workers and edge: gets the address of the edge, and returns the one that they commit to. */
  toEdge?: (edgeUrl: string) => Promise<string>;
};

/** @throws Error when the server of the queue cannot start */
export async function startStackJobs(
  { toQueue, toEdge, ...options }: StackJobs,
  { edgeUrl, persist }: { edgeUrl: string; persist: string | false },
): Promise<JobQueue> {
  const queue = await startJobQueue({
    ...options,
    edgeUrl: (await toEdge?.(edgeUrl)) ?? edgeUrl,
    folder: persist === false ? false : join(persist, 'job-queue'),
  });
  const endpoint = queue.vars.JOBS_QUEUE_ENDPOINT ?? '';
  const JOBS_QUEUE_ENDPOINT = (await toQueue?.(endpoint)) ?? endpoint;
  return { ...queue, vars: { ...queue.vars, JOBS_QUEUE_ENDPOINT } };
}
