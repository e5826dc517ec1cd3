/** A queue of jobs on a server of SQS that runs already: made for one stack, and deleted with it. */
import { randomBytes } from 'node:crypto';
import {
  CreateQueueCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { type JobQueue, type JobQueueOptions, MAX_RECEIVES } from './job-queue.ts';

export type ExistingServer = {
  endpoint: string;
  region: string;
  accessKeyId: string;
  secretAccessKey: string;
};

/** Where the variables name one: `SQS_ENDPOINT`, with AWS's usual variables. @throws Error where these lack */
export function existingServer(environment: NodeJS.ProcessEnv): ExistingServer | null {
  const { SQS_ENDPOINT: endpoint, AWS_REGION: region = 'us-east-1' } = environment;
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = environment;
  if (!endpoint) return null;
  if (!accessKeyId || !secretAccessKey) {
    throw new Error('SQS_ENDPOINT needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.');
  }
  return { endpoint, region, accessKeyId, secretAccessKey };
}

/** @throws Error when the server cannot be reached, or refuses */
export async function createJobQueue(
  { endpoint, region, accessKeyId, secretAccessKey }: ExistingServer,
  { edgeUrl, maxReceives = MAX_RECEIVES }: Pick<JobQueueOptions, 'edgeUrl' | 'maxReceives'>,
): Promise<JobQueue> {
  const client = new SQSClient({ endpoint, region, credentials: { accessKeyId, secretAccessKey } });
  await using created = new AsyncDisposableStack();
  created.defer(async () => client.destroy());
  const create = async (QueueName: string, Attributes: Record<string, string>) => {
    const { QueueUrl } = await client.send(new CreateQueueCommand({ QueueName, Attributes }));
    created.defer(async () => {
      await client.send(new DeleteQueueCommand({ QueueUrl }));
    });
    return QueueUrl ?? '';
  };
  const name = `blip2-${randomBytes(6).toString('hex')}`;
  const deadLetterUrl = await create(`${name}-dead-letters`, {});
  const { Attributes = {} } = await client.send(
    new GetQueueAttributesCommand({ QueueUrl: deadLetterUrl, AttributeNames: ['QueueArn'] }),
  );
  const redrive = { deadLetterTargetArn: Attributes.QueueArn, maxReceiveCount: maxReceives };
  const queueUrl = await create(name, { RedrivePolicy: JSON.stringify(redrive) });
  const shared = randomBytes(24).toString('hex');
  const credentials = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey };
  const running = created.move();
  return {
    vars: {
      JOBS_QUEUE_URL: queueUrl,
      JOBS_QUEUE_ENDPOINT: endpoint,
      JOBS_REGION: region,
      JOBS_SECRET: shared,
      ...credentials,
    },
    workerEnv: {
      BLIP2_JOBS_QUEUE_URL: queueUrl,
      BLIP2_JOBS_DEAD_LETTER_URL: deadLetterUrl,
      BLIP2_JOBS_ENDPOINT: endpoint,
      BLIP2_JOBS_REGION: region,
      BLIP2_JOBS_EDGE_URL: edgeUrl,
      BLIP2_JOBS_SECRET: shared,
      ...credentials,
    },
    // It is somebody else's.
    restart: async () => {},
    stop: () => running.disposeAsync(),
  };
}
