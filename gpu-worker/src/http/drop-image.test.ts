/** What the worker caches of an image: by namespace, and until it is dropped. */
import { imageIdOf } from '@blip2/shared/image-id';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Generate, TestWorker } from './testing/test-worker.ts';

let worker: TestWorker;
beforeAll(async () => {
  worker = await TestWorker.start();
});
afterAll(() => worker.worker.stop());

const [OURS, THEIRS] = ['0a'.repeat(16), '0b'.repeat(16)];

/** Look-ups of image positions so far that found something. */
async function hits(): Promise<number> {
  const text = await (await fetch(`${worker.worker.url}/metrics`)).text();
  return Number(/^blip2_prefix_cache_lookups_total\{result="hit"[^}]*\} (\d+)/m.exec(text)?.[1]);
}

/** Whether a request finds image positions that another has left. */
async function isHit(index: number, change: Partial<Generate>): Promise<boolean> {
  const before = await hits();
  await worker.ask(worker.generate(change), worker.image(index));
  return (await hits()) > before;
}

const drop = (path: string) =>
  fetch(`${worker.worker.url}/v1/images/${path}`, { method: 'DELETE' });
const idOf = (index: number) => imageIdOf(worker.image(index).subarray(8));

it('caches prompts for each namespace, and drops them in one', async () => {
  expect(await isHit(0, { namespace: OURS })).toBe(false);
  expect(await isHit(0, { namespace: OURS })).toBe(true);
  expect(await isHit(0, { namespace: THEIRS })).toBe(false);
  expect(await isHit(0, {})).toBe(false);
  const response = await drop(`${await idOf(0)}?namespace=${OURS}`);
  expect([response.status, await response.text()]).toEqual([204, '']);
  expect(await isHit(0, { namespace: OURS })).toBe(false);
  expect(await isHit(0, { namespace: THEIRS })).toBe(true);
  expect(await isHit(0, {})).toBe(true);
  await drop(await idOf(0));
  expect(await isHit(0, {})).toBe(false);
});

it('refuses names that are none', async () => {
  const id = '0'.repeat(64);
  for (const path of ['x', `${id}?namespace=`, `${id}?namespace=acme`, `${id}0`]) {
    const response = await drop(path);
    expect(response.status, path).toBe(400);
  }
  const request = { ...worker.generate(), namespace: 'acme' };
  const response = await worker.send(request, worker.image(0));
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ field: 'namespace' });
});
