/** A GPU worker reads the images of a job from the bucket itself, by signed URLs of a server that checks them. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { FaultProxy } from '../../tools/prove-jobs/fault-proxy.ts';
import { JobClient } from '../../tools/prove-jobs/job-client.ts';

/** What GPU workers asked of the edge, and how often the edge sent to the queue. */
const asked: string[] = [];
let sends = 0;
let proxy: FaultProxy;
let queue: FaultProxy;
let stack: Stack;
beforeAll(async () => {
  const toEdge = async (url: string) => {
    const faultOf = ({ path }: { path: string }) => {
      asked.push(path);
      return null;
    };
    proxy = await FaultProxy.start(url, { faultOf });
    return proxy.url;
  };
  const toQueue = async (url: string) => {
    const faultOf = () => {
      sends++;
      return null;
    };
    queue = await FaultProxy.start(url, { faultOf });
    return queue.url;
  };
  stack = await startStack({ jobs: { toEdge, toQueue } });
});
afterAll(async () => {
  await stack?.stop();
  await proxy?.[Symbol.asyncDispose]();
  await queue?.[Symbol.asyncDispose]();
});

const ITEMS = 25;

it('the edge passes on no image, and sends ten items at a time', async () => {
  const path = fileURLToPath(new URL('../scenes/pair-noto-00.webp', import.meta.url));
  const image = `data:image/webp;base64,${(await readFile(path)).toString('base64')}`;
  const jobs = new JobClient(stack.url);
  const lines = Array.from({ length: ITEMS }, () => JSON.stringify({ image }));
  const id = await jobs.create('caption', lines.join('\n'));
  const { items } = await jobs.until(id, { timeoutMs: 60_000 });
  expect(items).toEqual({ total: ITEMS, completed: ITEMS, failed: 0, canceled: 0 });
  expect(sends).toBe(Math.ceil(ITEMS / 10));
  const commits = asked.filter((one) => one.endsWith('/commit')).length;
  expect(commits).toBeGreaterThan(0);
  expect(commits).toBeLessThanOrEqual(ITEMS);
  expect(asked.filter((one) => one.endsWith('/source'))).toEqual([]);
});
