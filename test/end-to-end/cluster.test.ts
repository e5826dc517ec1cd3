/** The edge, HAProxy with the configuration of the clusters, and two real GPU workers. */
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Balancer, startBalancer } from '../../tools/haproxy.ts';
import { knownImages } from '../../tools/load/scenes.ts';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { isHaproxyInstalled } from '../support/haproxy.ts';

let stack: Stack;
let balancer: Balancer;
let images: Uint8Array<ArrayBuffer>[];

/** Stands before both workers, once both are ready: the edge knows it alone. */
function oneBalancer(): (workerUrl: string) => Promise<string> {
  const addresses: string[] = [];
  const all = Promise.withResolvers<void>();
  return async (workerUrl) => {
    const isFirst = addresses.push(new URL(workerUrl).host) === 1;
    if (addresses.length === 2) all.resolve();
    if (!isFirst) return '';
    await all.promise;
    balancer = await startBalancer(addresses);
    return balancer.url;
  };
}

async function match(image: Uint8Array): Promise<number> {
  const data = Buffer.from(image).toString('base64');
  const response = await fetch(`${stack.url}/v1/match`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ image: { data }, texts: ['a cat'] }),
  });
  await response.arrayBuffer();
  return response.status;
}

/** Comparisons that each worker has made since it started. */
const served = () =>
  Promise.all(
    stack.workers.map(async ({ url }) => {
      const text = await (await fetch(`${url}/metrics`)).text();
      const counts = text.matchAll(/^blip2_requests_total\{kind="match"[^}]*\} (\d+)/gm);
      return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
    }),
  );

describe.runIf(isHaproxyInstalled)('a cluster', () => {
  beforeAll(async () => {
    images = (await knownImages(12)).map(({ bytes }) => bytes);
    stack = await startStack({
      workers: 2,
      workerSecret: 'a secret of tests that has 32 characters or more',
      through: oneBalancer(),
    });
  });
  afterAll(async () => {
    await stack.stop();
    await balancer[Symbol.asyncDispose]();
  });

  it('sends each image to one worker, again and again', async () => {
    for (const image of images) expect(await match(image)).toBe(200);
    const first = await served();
    expect(first.reduce((sum, count) => sum + count)).toBe(images.length);
    expect(Math.min(...first)).toBeGreaterThan(0);
    for (const image of images) expect(await match(image)).toBe(200);
    expect(await served()).toEqual(first.map((count) => 2 * count));
  });

  it('shares an image that very many ask about', async () => {
    const before = await served();
    const [hot = new Uint8Array()] = images;
    const statuses = await Promise.all(Array.from({ length: 24 }, () => match(hot)));
    expect(new Set(statuses)).toEqual(new Set([200]));
    const gained = (await served()).map((count, i) => count - (before[i] ?? 0));
    expect(Math.min(...gained)).toBeGreaterThan(0);
  });

  it('loses nothing with a worker that is killed, and uses it when it is back', async () => {
    const [first] = stack.workers;
    if (first === undefined) throw new Error('There is no worker.');
    const ended = once(first.process, 'exit');
    first.process.kill('SIGKILL');
    await ended;
    for (const image of images) expect(await match(image)).toBe(200);
    await first.restart();
    await expect.poll(() => balancer.upServers()).toBe(2);
    // It gets its share little by little.
    await expect
      .poll(async () => {
        for (const image of images) expect(await match(image)).toBe(200);
        return (await served())[0];
      })
      .toBeGreaterThan(0);
  });
});
