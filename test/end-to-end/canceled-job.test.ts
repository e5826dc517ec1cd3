/** A job that is canceled while its items wait in a queue from which nobody takes them. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';

const QUEUE_THAT_NOBODY_READS = {
  JOBS_QUEUE_URL: 'http://127.0.0.1:9/queue',
  JOBS_SECRET: 'the secret of a queue that nobody reads',
  AWS_ACCESS_KEY_ID: 'test',
  AWS_SECRET_ACCESS_KEY: 'test',
};

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ vars: QUEUE_THAT_NOBODY_READS });
});
afterAll(() => stack?.stop());

type Job = { id: string; status: string; items: { canceled: number } };

it('ends at once, and says of each item that it was not run', async () => {
  const path = fileURLToPath(new URL('../scenes/pair-noto-00.webp', import.meta.url));
  const image = `data:image/webp;base64,${(await readFile(path)).toString('base64')}`;
  const items = [{ image, question: 'what is above the octopus?' }];
  const created = await fetch(`${stack.url}/v1/jobs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ task: 'answer', items }),
  });
  expect(created.status).toBe(202);
  const { id } = (await created.json()) as Job;
  const at = `${stack.url}/v1/jobs/${id}`;
  const job = async (method = 'GET') => (await (await fetch(at, { method })).json()) as Job;
  const results = async () => await (await fetch(`${at}/results`)).text();

  await expect.poll(async () => (await job()).status).toBe('in_progress');
  expect(await results()).toBe('');
  expect(await job('DELETE')).toMatchObject({ status: 'cancelling' });
  await expect.poll(async () => (await job()).status, { timeout: 30_000 }).toBe('cancelled');
  expect((await job()).items.canceled).toBe(1);
  expect(JSON.parse(await results())).toMatchObject({
    id: '0',
    status: null,
    result: null,
    error: { code: 'canceled' },
  });
  expect(await job('DELETE')).toMatchObject({ status: 'cancelled' });
});
