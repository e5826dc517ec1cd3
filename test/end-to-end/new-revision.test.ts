/** A new revision of the model comes into service beside the old one, under load: nobody gets an error. */

import { once } from 'node:events';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { chooseCheckpoints, MODEL_OPTIONS } from '@blip2/gpu-worker/model-options';
import { withDefaults } from '@blip2/shared/config/option';
import sharp from 'sharp';
import { expect, it, onTestFinished } from 'vitest';
import { startStack } from '../../tools/local-stack.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const folder = temporaryFolder();
const vars = { REPLY_TTL_HOURS: '0', GPU_WORKER_RESTART_MS: '0' };

/** The embedded model as another revision: one that is a letter longer, and says the same. */
async function newRevision(): Promise<string> {
  const { checkpoint } = chooseCheckpoints(withDefaults(MODEL_OPTIONS));
  const copy = join(folder, 'new');
  await cp(checkpoint, copy, { recursive: true });
  const path = join(copy, 'config.json');
  await writeFile(path, `${await readFile(path, 'utf8')}\n`);
  return copy;
}

/** A port whose connections go to another one, once that is known. */
async function forwarded() {
  let target = 0;
  const server = createServer((near) => {
    const far = connect(target, '127.0.0.1');
    near.pipe(far).pipe(near);
    for (const side of [near, far]) side.on('error', () => near.destroy(far.destroy() as never));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    to: (url: string) => {
      target = Number(new URL(url).port);
    },
  };
}

/** Asks about one new image after the other until it is stopped. @returns how to stop it, and the statuses it saw */
function callers(url: () => string) {
  const statuses: number[] = [];
  let isOver = false;
  const one = async (seed: number) => {
    for (let n = seed; !isOver; n += 4) {
      const background = { r: n % 256, g: (n * 7) % 256, b: Math.floor(n / 256) };
      const image = await sharp({ create: { width: 40, height: 40, channels: 3, background } })
        .png()
        .toBuffer();
      const query = new URLSearchParams({ question: `what is number ${n}?` });
      const reply = await fetch(`${url()}/v1/answers?${query}`, {
        method: 'POST',
        headers: { 'content-type': 'image/png' },
        body: new Uint8Array(image),
      });
      await reply.arrayBuffer();
      statuses.push(reply.status);
    }
  };
  const all = [0, 1, 2, 3].map(one);
  return {
    statuses,
    until: (count: number) => expect.poll(() => statuses.length).toBeGreaterThan(count),
    stop: async () => {
      isOver = true;
      await Promise.all(all);
    },
  };
}

it('with both workers behind both edges, whichever comes first', async () => {
  const toNew = await forwarded();
  const before = await startStack({ vars, through: async (url) => `${url}, ${toNew.url}` });
  onTestFinished(() => before.stop());
  const after = await startStack({
    vars,
    checkpoint: await newRevision(),
    through: async (url) => `${url}, ${before.workerUrl}`,
  });
  onTestFinished(() => after.stop());
  expect(after.model.revision).not.toBe(before.model.revision);

  let edge = before.url;
  const load = callers(() => edge);
  await load.until(10);
  // The new worker is there, and the edge is not.
  toNew.to(after.workerUrl);
  await load.until(load.statuses.length + 30);
  // Both edges are asked for a while, as locations get the new version one by one.
  let turn = 0;
  const both = callers(() => {
    turn += 1;
    return turn % 2 === 0 ? before.url : after.url;
  });
  await both.until(30);
  await both.stop();
  edge = after.url;
  await load.until(load.statuses.length + 10);
  // The old worker goes.
  const ended = once(before.worker, 'exit');
  before.worker.kill('SIGTERM');
  await ended;
  await load.until(load.statuses.length + 20);
  await load.stop();
  expect(new Set([...load.statuses, ...both.statuses])).toEqual(new Set([200]));
});
