import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import type { Worker } from 'node:worker_threads';
import { expect, it, onTestFinished } from 'vitest';
import { file, startImageHost } from '../../test/support/image-host.ts';
import { serviceOf } from './host-network.ts';
import { startNetworkThread } from './network-thread.ts';

it('a thread that ends is followed by another one at the same port', async () => {
  const host = await startImageHost({ '/a': file('image/png', 'an image') });
  onTestFinished(host.stop);
  const threads: Worker[] = [];
  const note = (thread: Worker) => void threads.push(thread);
  process.on('worker', note);
  onTestFinished(() => void process.off('worker', note));
  const network = await startNetworkThread(true);
  onTestFinished(network.stop);
  const { injectRequestHeaders } = serviceOf(network).external.http;
  const status = async () => {
    const [{ name, value }] = injectRequestHeaders as [{ name: string; value: string }];
    const path = `http://127.0.0.1:${host.port}/a`;
    const asked = { host: '127.0.0.1', port: network.port, path, headers: { [name]: value } };
    const request = httpRequest({ ...asked, agent: false }).end();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    response.resume();
    return response.statusCode;
  };
  expect(await status()).toBe(200);
  await threads[0]?.terminate();
  await expect.poll(() => status().catch(() => null)).toBe(200);
  expect(threads).toHaveLength(2);
});
