/** How many messages a queue has, by SQS's own protocol: of a server on this machine or elsewhere. */
import { setTimeout as delay } from 'node:timers/promises';
import { GetQueueAttributesCommand, SQSClient } from '@aws-sdk/client-sqs';
import type { JobQueue } from '../job-queue.ts';

const POLL_MS = 500;
const COUNTS = ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'] as const;

/** Waits until both queues are empty. @returns whether they are, at the latest after `timeoutMs` */
export async function isDrained(queue: JobQueue, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    if ((await messagesIn(queue)) === 0) return true;
    if (performance.now() > deadline) return false;
    await delay(POLL_MS);
  }
}

/** Messages of both queues, those that somebody has received included. */
async function messagesIn({ workerEnv }: JobQueue): Promise<number> {
  const client = clientOf(workerEnv);
  try {
    const urls = [workerEnv.BLIP2_JOBS_QUEUE_URL, workerEnv.BLIP2_JOBS_DEAD_LETTER_URL];
    const counts = await Promise.all(
      urls.map(async (QueueUrl) => {
        const command = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: [...COUNTS] });
        const { Attributes = {} } = await client.send(command);
        return COUNTS.reduce((sum, name) => sum + Number(Attributes[name] ?? 0), 0);
      }),
    );
    return counts.reduce((sum, count) => sum + count, 0);
  } finally {
    client.destroy();
  }
}

/** A client with what a GPU worker is started with. */
function clientOf(workerEnv: JobQueue['workerEnv']): SQSClient {
  return new SQSClient({
    region: workerEnv.BLIP2_JOBS_REGION ?? '',
    endpoint: workerEnv.BLIP2_JOBS_ENDPOINT ?? '',
    credentials: {
      accessKeyId: workerEnv.AWS_ACCESS_KEY_ID ?? '',
      secretAccessKey: workerEnv.AWS_SECRET_ACCESS_KEY ?? '',
    },
  });
}
