/** What the queue has for certain, and what has to be sent again. */
import { expect, test } from 'vitest';
import { JobQueue } from './queue.ts';

type Sent = { url: string; target: string | null; body: { QueueUrl: string; Entries: Entry[] } };
type Entry = {
  Id: string;
  MessageBody: string;
  MessageGroupId: string;
  MessageAttributes?: unknown;
};

function start(reply: (sent: Sent, number: number) => Response | Promise<Response>, change = {}) {
  const requests: Sent[] = [];
  const queue = new JobQueue({
    config: {
      jobsQueueUrl: 'https://sqs.us-east-1.amazonaws.com/1/jobs',
      jobsQueueEndpoint: undefined,
      jobsRegion: 'us-east-1',
      awsAccessKeyId: 'id',
      awsSecretAccessKey: 'secret',
      ...change,
    },
    fetch: async (url, init) => {
      const request = new Request(url, init);
      expect(request.headers.get('authorization')).toMatch(/^AWS4-HMAC-SHA256 Credential=id\//);
      const target = request.headers.get('x-amz-target');
      const sent = { url: String(url), target, body: await request.json<Sent['body']>() };
      requests.push(sent);
      return await reply(sent, requests.length);
    },
  });
  return { queue, requests };
}

const messages = (count: number, size = 10) =>
  Array.from({ length: count }, (_, i) => ({ body: `${i} ${'x'.repeat(size)}`, group: 'tenant' }));
const accepted = ({ body }: Sent) =>
  Response.json({ Successful: body.Entries.map(({ Id }) => ({ Id })), Failed: [] });

test('messages are sent ten at a time to the root of the host, for their group', async () => {
  const { queue, requests } = start(accepted);
  const { sent, error } = await queue.send(messages(25));
  expect([sent.every(Boolean), sent.length, error]).toEqual([true, 25, undefined]);
  expect(requests.map(({ body }) => body.Entries.length).toSorted()).toEqual([10, 10, 5]);
  expect(requests[0]).toMatchObject({
    url: 'https://sqs.us-east-1.amazonaws.com/',
    target: 'AmazonSQS.SendMessageBatch',
    body: { QueueUrl: 'https://sqs.us-east-1.amazonaws.com/1/jobs' },
  });
  expect(requests[0]?.body.Entries[0]?.MessageGroupId).toBe('tenant');
});

test('the trace of a message is an attribute, beside its body', async () => {
  const { queue, requests } = start(accepted);
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  await queue.send([
    { body: 'a', group: 'tenant', traceparent },
    { body: 'b', group: 'tenant' },
  ]);
  const [traced, other] = requests[0]?.body.Entries ?? [];
  expect(traced).toMatchObject({
    MessageBody: 'a',
    MessageAttributes: { traceparent: { DataType: 'String', StringValue: traceparent } },
  });
  expect(other).not.toHaveProperty('MessageAttributes');
});

test('an endpoint of its own is where it is sent to', async () => {
  const { queue, requests } = start(accepted, { jobsQueueEndpoint: 'http://127.0.0.1:4566/x' });
  await queue.send(messages(1));
  expect(requests[0]?.url).toBe('http://127.0.0.1:4566/');
});

test('large messages go fewer at a time', async () => {
  const { queue, requests } = start(accepted);
  await queue.send(messages(6, 100_000));
  expect(requests.map(({ body }) => body.Entries.length)).toEqual([2, 2, 2]);
});

test('a name that is no group becomes one', async () => {
  const { queue, requests } = start(accepted);
  await queue.send([
    { body: 'a', group: `ümlaut ${'x'.repeat(200)}` },
    { body: 'b', group: '' },
  ]);
  const groups = requests[0]?.body.Entries.map(({ MessageGroupId }) => MessageGroupId);
  expect(groups).toEqual([`_mlaut_${'x'.repeat(121)}`, '_']);
});

test.each([
  ['refuses', () => new Response('{"__type":"Throttling"}', { status: 400 })],
  ['fails', () => new Response('', { status: 503 })],
  ['is something else that says 200', () => new Response('<DeleteResult/>')],
  ['says nothing of the messages', () => Response.json({})],
  ['is gone', () => Promise.reject(new TypeError('connection refused'))],
])('nothing counts as sent where the queue %s', async (_, reply) => {
  const { queue } = start(reply);
  const { sent, error } = await queue.send(messages(12));
  expect(sent.some(Boolean)).toBe(false);
  expect(error).toBeTypeOf('string');
});

test('of a batch that was taken in part, the rest has to be sent again', async () => {
  const { queue } = start(({ body }) =>
    Response.json({
      Successful: body.Entries.filter((_, i) => i % 2 === 0).map(({ Id }) => ({ Id })),
      Failed: [{ Id: '1', Code: 'InternalError' }],
    }),
  );
  const { sent, error } = await queue.send(messages(4));
  expect(sent).toEqual([true, false, true, false]);
  expect(error).toBeTypeOf('string');
});
