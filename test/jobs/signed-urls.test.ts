/** A GPU worker reads the images of a job from the bucket itself, by signed URLs of a server that checks them. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { FaultProxy } from '../../tools/prove-jobs/fault-proxy.ts';
import { JobClient } from '../../tools/prove-jobs/job-client.ts';

/** What GPU workers asked of the edge. */
const asked: string[] = [];
let proxy: FaultProxy;
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
  stack = await startStack({ jobs: { toEdge } });
});
afterAll(async () => {
  await stack?.stop();
  await proxy?.[Symbol.asyncDispose]();
});

it('the edge passes on no image', async () => {
  const path = fileURLToPath(new URL('../scenes/pair-noto-00.webp', import.meta.url));
  const image = `data:image/webp;base64,${(await readFile(path)).toString('base64')}`;
  const jobs = new JobClient(stack.url);
  const id = await jobs.create('caption', JSON.stringify({ id: 'one', image }));
  const { items } = await jobs.until(id, { timeoutMs: 60_000 });
  expect(items).toEqual({ total: 1, completed: 1, failed: 0, canceled: 0 });
  expect(asked.filter((one) => one.endsWith('/commit'))).toHaveLength(1);
  expect(asked.filter((one) => one.endsWith('/source'))).toEqual([]);
});
