/** That a request is gone once it has ended: Node shows what is still referred to, after a garbage collection. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { encodeFrame } from '@blip2/shared/frames';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { endless, TestWorker } from './testing/test-worker.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

let test: TestWorker;
beforeAll(async () => {
  test = await TestWorker.start({ maxSlots: 4, queueLimit: 8 });
});
afterAll(() => test?.worker.stop());

const REQUESTS = 40;
/** An image as the embedded model's encoder takes it: 3 × 112 × 112 float32. Each request has one at least. */
const IMAGE_BYTES = 3 * 112 * 112 * 4;

const endings: Record<string, () => Promise<unknown>> = {
  'is done': () => test.ask(test.generate(), test.image(0)),
  'has failed': async () => {
    const response = await test.send(test.generate(), encodeFrame('image', damagedPng()));
    expect(response.status).toBe(400);
    return await response.arrayBuffer();
  },
  'has been canceled': async () => {
    const canceled = new AbortController();
    const { signal } = canceled;
    const request = { ...test.generate({ generation: endless(60) }), request_id: 'canceled' };
    const response = await test.send(request, test.image(0), { signal });
    await response.body?.getReader().read();
    canceled.abort();
  },
};

it.each(Object.keys(endings))('nothing of a request stays once it %s', async (ending) => {
  const end = endings[ending]!;
  await end();
  const before = await buffersInUse();
  for (let n = 0; n < REQUESTS; n++) await end();
  const grown = (await buffersInUse()) - before;
  expect(grown).toBeLessThan((REQUESTS / 4) * IMAGE_BYTES);
});

/** As large as an image in memory, and no image behind its signature. */
function damagedPng(): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(IMAGE_BYTES);
  bytes.set([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return bytes;
}

/** Bytes of this thread's buffers that something refers to, once all requests have ended. */
async function buffersInUse(): Promise<number> {
  await expect.poll(() => test.worker.engine.admitted).toBe(0);
  for (let n = 0; n < 3; n++) {
    await turn();
    collectGarbage();
  }
  return process.memoryUsage().arrayBuffers;
}

const turn = () => new Promise((resolve) => setImmediate(resolve));
