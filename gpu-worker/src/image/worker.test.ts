/** What a worker replies to images that cost too much, and what it measures of the others. */
import { encodeFrame } from '@blip2/shared/frames';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { pngOf } from '../../../test/support/large-png.ts';
import { TestWorker } from '../http/testing/test-worker.ts';

let test: TestWorker;
beforeAll(async () => {
  test = await TestWorker.start({ decodeMemoryMb: 150 });
});
afterAll(() => test.worker.stop());

it.each([
  [1, 49_000_000, /a side of at most 1000000 is accepted/],
  [7000, 7000, /takes about \d+ MiB of memory; at most 150 are allowed/],
])('an image of %i × %i pixels is a problem with its limit', async (width, height, detail) => {
  const image = encodeFrame('image', new Uint8Array(await pngOf(width, height)));
  const response = await test.send(test.generate(), image);
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({
    type: '/problems/image-too-large',
    detail: expect.stringMatching(detail),
    field: 'image',
    limit: expect.any(Number),
    actual: expect.any(Number),
  });
});

it('an image one pixel wide and a million high is answered, and nothing waits or is charged afterwards', async () => {
  const image = encodeFrame('image', new Uint8Array(await pngOf(1, 1_000_000)));
  expect((await test.ask(test.generate(), image)).tokens.length).toBeGreaterThan(0);
  const metrics = await (await fetch(`${test.worker.url}/metrics`)).text();
  expect(metrics).toMatch(/^blip2_num_images_waiting\{.*\} 0$/m);
  expect(metrics).toMatch(/^blip2_decode_memory_bytes\{.*\} 0$/m);
  expect(metrics).not.toMatch(/^blip2_decode_processes_ended_total\{/m);
});
