/** What an SQS server does when it is not well (throttling, 5xx, lost replies), with a real one behind: nothing is lost to the consumer. */
import { createSqsClient, Queue, type Received } from '@blip2/gpu-worker/jobs/queue';
import { createLogger } from '@blip2/gpu-worker/logger';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { JobQueue as EdgeQueue } from '../../edge/src/jobs/queue.ts';
import { type JobQueue, startJobQueue } from '../../tools/job-queue.ts';
import { type Fault, FaultProxy } from '../../tools/prove-jobs/fault-proxy.ts';

const events: string[] = [];
const log = createLogger({
  level: 'warn',
  write: (line) => events.push((JSON.parse(line) as { event: string }).event),
});
/** Of the next requests. */
let faults: Fault[] = [];
let server: JobQueue;
let proxy: FaultProxy;
let queue: Queue;
let direct: Queue;
const clients: ReturnType<typeof createSqsClient>[] = [];
beforeAll(async () => {
  server = await startJobQueue({ edgeUrl: 'http://127.0.0.1:1', folder: false });
  const endpoint = server.vars.JOBS_QUEUE_ENDPOINT ?? '';
  proxy = await FaultProxy.start(endpoint, { faultOf: () => faults.shift() ?? null });
  const env = server.workerEnv;
  vi.stubEnv('AWS_ACCESS_KEY_ID', env.AWS_ACCESS_KEY_ID);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', env.AWS_SECRET_ACCESS_KEY);
  const at = (endpointUrl: string) => {
    const client = createSqsClient({
      queueUrl: env.BLIP2_JOBS_QUEUE_URL ?? '',
      deadLetterUrl: undefined,
      edgeUrl: '',
      secret: '',
      endpoint: endpointUrl,
      region: 'us-east-1',
      visibilityS: 120,
    });
    clients.push(client);
    return new Queue(client, env.BLIP2_JOBS_QUEUE_URL ?? '', 120, log);
  };
  queue = at(proxy.url);
  direct = at(endpoint);
});
afterEach(() => {
  faults = [];
  events.length = 0;
});
afterAll(async () => {
  for (const client of clients) client.destroy();
  await proxy?.[Symbol.asyncDispose]();
  await server?.stop();
  vi.unstubAllEnvs();
});

async function send(body: string): Promise<void> {
  const { vars } = server;
  const credential = `${vars.AWS_ACCESS_KEY_ID}/20260101/us-east-1/sqs/aws4_request`;
  await fetch(`${vars.JOBS_QUEUE_ENDPOINT}/`, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-amz-json-1.0',
      'x-amz-target': 'AmazonSQS.SendMessage',
      authorization: `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=host, Signature=00`,
    },
    body: JSON.stringify({ QueueUrl: vars.JOBS_QUEUE_URL, MessageBody: body }),
  });
}

const { signal } = new AbortController();
const receive = (from: Queue): Promise<Received[]> => from.receive(10, { mayWait: false, signal });

it.each<[string, Fault[]]>([
  ['throttles', ['throttled']],
  ['fails', ['failed']],
  ['throttles and fails', ['throttled', 'failed']],
])('a message is received from a server that %s', async (_, staged) => {
  await send('one');
  faults = staged;
  const received = await receive(queue);
  expect(received).toMatchObject([{ body: 'one', receives: 1 }]);
  await direct.delete(received);
});

it('a server that does nothing but throttle is an error for the consumer, which waits and asks again', async () => {
  faults = Array.from({ length: 20 }, () => 'throttled' as const);
  await expect(receive(queue)).rejects.toThrow(/Rate exceeded/);
});

it(`a message whose reply was lost is nobody's until it is visible again`, async () => {
  await send('lost');
  faults = ['lost'];
  // The second try of the same call finds nothing: the message is somebody's, as far as the server knows.
  expect(await receive(queue)).toEqual([]);
});

it.each<[string, Fault[]]>([
  ['throttles', ['throttled']],
  ['fails', ['failed']],
  ['loses the reply', ['lost']],
])('a message is deleted from a server that %s', async (_, staged) => {
  await send('done');
  const received = await receive(direct);
  faults = staged;
  await queue.delete(received);
  await direct.hide(received, 0);
  expect(await receive(direct)).toEqual([]);
  expect(events).toEqual([]);
});

it.each<[string, Fault[]]>([
  ['throttles', ['throttled']],
  ['fails', ['failed']],
  ['loses the reply', ['lost']],
])('a message stays with who runs it, at a server that %s', async (_, staged) => {
  await send('long');
  const received = await receive(direct);
  await direct.hide(received, 1);
  faults = staged;
  await queue.extend(received);
  // Each waits for a second: by then it would be there again.
  expect([...(await receive(direct)), ...(await receive(direct))]).toEqual([]);
  expect(events).toEqual([]);
  await direct.delete(received);
});

it.each<[string, Fault[], number]>([
  ['throttles', ['throttled'], 10],
  ['fails', ['failed', 'failed'], 10],
  ['loses the reply', ['lost'], 0],
])(
  'what the edge sends is in the queue when it has sent it again, to a server that %s',
  async (_, staged, missing) => {
    const { vars } = server;
    const config = {
      jobsQueueUrl: vars.JOBS_QUEUE_URL,
      jobsQueueEndpoint: proxy.url,
      jobsRegion: vars.JOBS_REGION ?? '',
      awsAccessKeyId: vars.AWS_ACCESS_KEY_ID,
      awsSecretAccessKey: vars.AWS_SECRET_ACCESS_KEY,
    };
    const edge = new EdgeQueue({ config, fetch });
    const bodies = Array.from({ length: 10 }, (_, i) => `item ${i}`);
    const seen = async () => {
      const received = await receive(direct);
      await direct.delete(received);
      return received.map(({ body }) => body);
    };
    const messages = bodies.map((body) => ({ body, group: 'tenant' }));
    for (const fault of staged) {
      faults = [fault];
      const { sent, error } = await edge.send(messages);
      expect([sent.some(Boolean), typeof error]).toEqual([false, 'string']);
    }
    const early = await seen();
    expect(early).toHaveLength(10 - missing);
    expect((await edge.send(messages)).sent.every(Boolean)).toBe(true);
    expect((await seen()).toSorted()).toEqual(bodies);
  },
);

it('a message that the queue deletes at the second call only is deleted', async () => {
  await send('partly');
  const received = await receive(direct);
  faults = ['entries-failed'];
  await queue.delete(received);
  await direct.hide(received, 0);
  expect(await receive(direct)).toEqual([]);
  expect(events).toEqual([]);
  await send('never');
  const again = await receive(direct);
  faults = ['entries-failed', 'entries-failed'];
  await queue.delete(again);
  expect(events).toEqual(['not-deleted']);
  await direct.delete(again);
});

it('what cannot be deleted is logged, and stays', async () => {
  await send('stays');
  const received = await receive(direct);
  faults = Array.from({ length: 20 }, () => 'failed' as const);
  await queue.delete(received);
  faults = [];
  await direct.hide(received, 0);
  const again = await receive(direct);
  expect(again).toMatchObject([{ body: 'stays', receives: 2 }]);
  expect(events).toContain('not-deleted');
  await direct.delete(again);
});
