/**
 * The image for processors as it is deployed: built from its Dockerfile, run by a user without rights on a root that is read-only, and
 * asked by a real edge.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { freePort } from '@blip2/gpu-worker/check-port';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ApiEvent, postStream } from '../../tools/api.ts';
import { type Stack, startStack } from '../../tools/local-stack.ts';
import { endWorker, untilReady } from '../../tools/worker-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { type TestImage, testImages } from '../support/test-images.ts';
import { canRunImages, USER, WorkerImage } from '../support/worker-image.ts';

const SECRET = 'a secret of tests that has 32 characters or more';
const LOOPBACK = { host: '127.0.0.1', port: 0 };
const VARIABLES = { variables: { host: 'HOST', port: 'PORT' }, nameOccupant: async () => null };

/** Says in JSON who it is, and what it may do and write. */
const PROBE = `
const { readFileSync, writeFileSync } = require('node:fs');
const status = Object.fromEntries(readFileSync('/proc/self/status', 'utf8').split('\\n').map((line) => line.split(':\\t')));
const { Uid, Groups, CapPrm, CapEff, NoNewPrivs } = status;
const tried = ['/app/x', '/x', '/app/gpu-worker/src/main.ts', '/etc/passwd', '/bundles/x', '/tmp/x'].map((path) => {
  try { writeFileSync(path, ''); return [path, 'written']; } catch ({ code }) { return [path, code]; }
});
console.log(JSON.stringify({ Uid, Groups, CapPrm, CapEff, NoNewPrivs, tried: Object.fromEntries(tried) }));`;

describe.runIf(canRunImages)('the image for cpu', () => {
  const folder = temporaryFolder();
  let image: WorkerImage;
  let worker: ChildProcess;
  let url: string;
  let stack: Stack;
  let scenes: TestImage[];

  beforeAll(async () => {
    image = await WorkerImage.build(folder);
    const port = await freePort(LOOPBACK, VARIABLES);
    url = `http://127.0.0.1:${port}`;
    worker = await image.start({
      BLIP2_WORKER_PORT: `${port}`,
      BLIP2_WORKER_SECRET: SECRET,
      BLIP2_LOG_LEVEL: 'warn',
    });
    worker.stdout?.resume();
    await untilReady(worker, url, 300_000);
    // The stack's own worker is asked nothing.
    const through = async () => url;
    [stack, scenes] = await Promise.all([
      startStack({ workerSecret: SECRET, through }),
      testImages(2),
    ]);
  }, 1_200_000);
  afterAll(async () => {
    await stack?.stop();
    if (worker !== undefined) await endWorker(worker);
  });

  /** Requests that a worker has served, as its metrics count them. */
  const served = async (base: string) =>
    [
      ...(await (await fetch(`${base}/metrics`)).text()).matchAll(
        /^blip2_requests_total\{[^}]*\} (\d+)/gm,
      ),
    ].reduce((sum, [, count]) => sum + Number(count), 0);

  it('runs as a user without rights, who writes to /bundles and /tmp alone', async () => {
    const probe = await image.start({}, ['/usr/local/bin/node', '-e', PROBE]);
    const [said] = await Promise.all([text(probe.stdout!), once(probe, 'exit')]);
    expect(JSON.parse(said)).toEqual({
      Uid: Array(4).fill(USER).join('\t'),
      Groups: ' ',
      CapPrm: '0000000000000000',
      CapEff: '0000000000000000',
      NoNewPrivs: '1',
      tried: {
        '/app/x': 'EROFS',
        '/x': 'EROFS',
        '/app/gpu-worker/src/main.ts': 'EROFS',
        '/etc/passwd': 'EROFS',
        '/bundles/x': 'written',
        '/tmp/x': 'written',
      },
    });
  });

  it('has built its bundles itself, where it may write', async () => {
    expect((await readdir(join(folder, 'bundles'))).length).toBeGreaterThan(1);
  });

  it('captions, answers token by token, and compares, as a real edge asks it', async () => {
    const [first, second] = scenes as [TestImage, TestImage];
    const caption = await fetch(`${stack.url}/v1/captions`, {
      method: 'POST',
      headers: { 'content-type': 'image/webp' },
      body: first.bytes,
    });
    expect(caption.status).toBe(200);
    expect(await caption.json()).toMatchObject({ caption: expect.stringMatching(/\w+ \w+/) });
    const data = Buffer.from(second.bytes).toString('base64');
    const question = { image: { data }, question: 'what is in the image?' };
    const events: ApiEvent[] = await Array.fromAsync(
      postStream(`${stack.url}/v1/answers`, question),
    );
    expect(events.at(-1)?.event).toBe('done');
    const match = await fetch(`${stack.url}/v1/match`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ image: { data }, texts: ['a cat', 'a car'] }),
    });
    expect(match.status).toBe(200);
    expect(await served(url)).toBeGreaterThanOrEqual(3);
    expect(await served(stack.workerUrl)).toBe(0);
  });

  it('does nothing for who does not sign', async () => {
    const response = await fetch(`${url}/v1/run`, { method: 'POST', body: 'x' });
    expect(response.status).toBe(401);
  });

  it('passes its check of health, which fails where nobody answers', async () => {
    const command = ['/usr/local/bin/node', 'infra/images/health.mjs'];
    const exitCode = async (port: string) => {
      const [code] = await once(await image.start({ BLIP2_WORKER_PORT: port }, command), 'exit');
      return code;
    };
    expect(await exitCode(new URL(url).port)).toBe(0);
    expect(await exitCode(String(await freePort(LOOPBACK, VARIABLES)))).toBe(1);
  });

  it('ends by itself when it is asked to, with 0', async () => {
    await endWorker(worker);
    expect([worker.exitCode, worker.signalCode]).toEqual([0, null]);
  });
});
