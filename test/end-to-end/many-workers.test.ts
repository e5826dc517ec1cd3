/** Two real GPU workers behind the edge: images keep their worker, and one that is killed costs nobody a reply. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Stack, startStack } from '../../tools/local-stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({
    workers: 2,
    workerSecret: 'a secret of tests that has 32 characters or more',
    // Who replies is what is looked at: cached embeddings and replies would hide it.
    vars: { REPLY_TTL_HOURS: '0', GPU_WORKER_RESTART_MS: '0' },
  });
});
afterAll(() => stack.stop());

/** An image of one color: no two are the same. */
const imageOf = async (n: number) =>
  new Uint8Array(
    await sharp({
      create: {
        width: 56,
        height: 56,
        channels: 3,
        background: { r: n, g: 255 - n, b: (7 * n) % 256 },
      },
    })
      .png()
      .toBuffer(),
  );

async function match(bytes: Uint8Array): Promise<number> {
  const response = await fetch(`${stack.url}/v1/match`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      image: { data: Buffer.from(bytes).toString('base64') },
      texts: ['a cat'],
    }),
  });
  await response.body?.cancel();
  return response.status;
}

/** Requests that each worker has served. */
const matched = () =>
  Promise.all(
    stack.workers.map(async ({ url }) => {
      const text = await (await fetch(`${url}/metrics`)).text();
      const served = text.matchAll(/^blip2_requests_total\{kind="match"[^}]*\} (\d+)/gm);
      return [...served].reduce((sum, [, count]) => sum + Number(count), 0);
    }),
  );

it('shares images among them, and sends each image to the same one again', async () => {
  const images = await Promise.all(Array.from({ length: 16 }, (_, n) => imageOf(n)));
  for (const image of images) expect(await match(image)).toBe(200);
  const once = await matched();
  expect(once.reduce((sum, count) => sum + count)).toBe(16);
  expect(Math.min(...once)).toBeGreaterThan(0);
  for (const image of images) expect(await match(image)).toBe(200);
  expect(await matched()).toEqual(once.map((count) => 2 * count));
});

it('goes on without one that is killed, and uses it again when it is back', async () => {
  const [first] = stack.workers;
  if (first === undefined) throw new Error('There is no worker.');
  const ended = once(first.process, 'exit');
  first.process.kill('SIGKILL');
  await ended;
  const statuses = await Promise.all(
    Array.from({ length: 16 }, async (_, n) => await match(await imageOf(100 + n))),
  );
  expect(new Set(statuses)).toEqual(new Set([200]));
  await first.restart();
  await expect
    .poll(async () => {
      await match(await imageOf(Math.floor(256 * Math.random())));
      return (await matched())[0];
    })
    .toBeGreaterThan(0);
});

it('has workers that answer nobody else', async () => {
  const asked: [string, string][] = [
    ['POST', '/v1/run'],
    ['DELETE', `/v1/images/${createHash('sha256').digest('hex')}`],
  ];
  for (const [method, path] of asked) {
    const response = await fetch(`${stack.workerUrl}${path}`, { method });
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({
      detail: expect.stringContaining('no signature'),
    });
  }
});
