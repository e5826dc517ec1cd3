/** The queue of jobs on this machine. */
import { networkInterfaces } from 'node:os';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, expect, it, vi } from 'vitest';
import { temporaryFolder } from '../test/support/temporary-folder.ts';
import { type JobQueue, startJobQueue } from './job-queue.ts';

const folder = temporaryFolder();
const started: JobQueue[] = [];
afterEach(async () => {
  await Promise.all(started.splice(0).map(({ stop }) => stop()));
});

async function start(where: string | false): Promise<JobQueue> {
  const queue = await startJobQueue({ edgeUrl: 'http://127.0.0.1:1', folder: where });
  started.push(queue);
  return queue;
}

async function call({ vars }: JobQueue, action: string, body: object, keyId?: string) {
  const credential = `${keyId ?? vars.AWS_ACCESS_KEY_ID}/20260101/${vars.JOBS_REGION}/sqs/aws4_request`;
  return await fetch(`${vars.JOBS_QUEUE_ENDPOINT}/`, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-amz-json-1.0',
      'x-amz-target': `AmazonSQS.${action}`,
      authorization: `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=host, Signature=00`,
    },
    body: JSON.stringify({ QueueUrl: vars.JOBS_QUEUE_URL, ...body }),
  });
}

it('has what was sent before a stop, and gives it up after twelve receives', async () => {
  const first = await start(folder);
  expect((await call(first, 'SendMessage', { MessageBody: 'one' })).status).toBe(200);
  await first.stop();
  started.length = 0;
  const second = await start(folder);
  for (let receives = 1; receives <= 12; receives++) {
    const reply = await call(second, 'ReceiveMessage', { VisibilityTimeout: 0 });
    expect(await reply.json()).toMatchObject({ Messages: [{ Body: 'one' }] });
  }
  const empty = await call(second, 'ReceiveMessage', {});
  expect(((await empty.json()) as { Messages?: object[] }).Messages ?? []).toEqual([]);
  const QueueUrl = second.workerEnv.BLIP2_JOBS_DEAD_LETTER_URL;
  const given = await call(second, 'ReceiveMessage', { QueueUrl });
  expect(await given.json()).toMatchObject({ Messages: [{ Body: 'one' }] });
});

it('waits for the disk at no message', async () => {
  const modes: unknown[] = [];
  const { close } = DatabaseSync.prototype;
  using _spy = vi.spyOn(DatabaseSync.prototype, 'close').mockImplementation(function (
    this: DatabaseSync,
  ) {
    modes.push({ ...this.prepare('PRAGMA synchronous').get() });
    close.call(this);
  });
  const { exec } = DatabaseSync.prototype;
  const queue = await start(folder);
  expect(DatabaseSync.prototype.exec).toBe(exec);
  await queue.stop();
  started.length = 0;
  // 1: at checkpoints alone.
  expect(modes).toEqual([{ synchronous: 1 }]);
});

it('lets in nobody without its key, and listens on this machine alone', async () => {
  const queue = await start(false);
  expect((await call(queue, 'ReceiveMessage', {}, 'another')).status).toBe(403);
  const { port } = new URL(queue.vars.JOBS_QUEUE_ENDPOINT ?? '');
  const others = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal, family }) => !internal && family === 'IPv4');
  for (const { address } of [...others, { address: '127.0.0.2' }]) {
    await expect(fetch(`http://${address}:${port}/`)).rejects.toThrow();
  }
});
