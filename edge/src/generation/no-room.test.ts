/** What an edge does whose GPU workers have all that they may have. */
import { beforeEach, expect, it } from 'vitest';
import { newImage, startEdge, type TestEdge } from '../testing/edge.ts';

let edge: TestEdge;
beforeEach(() => {
  edge = startEdge({ env: { MAX_REQUESTS_PER_WORKER: '1' } });
});

/** Fills the one place; what it returns frees it. */
async function fill(): Promise<() => Promise<void>> {
  const start = Promise.withResolvers<void>();
  edge.gpu.script.start = start.promise;
  const before = edge.gpu.received.length;
  const reply = edge.post('/v1/captions', newImage());
  await expect.poll(() => edge.gpu.received.length).toBe(before + 1);
  return async () => {
    start.resolve();
    expect((await reply).status).toBe(200);
  };
}

it('refuses, in words, until there is room', async () => {
  const free = await fill();
  const refused = await edge.post('/v1/captions', newImage());
  expect(refused.status).toBe(429);
  expect(refused.headers.get('retry-after')).toBe('1');
  expect(refused.headers.get('ratelimit-policy')).toBe('"client";q=1;qu="concurrent-requests"');
  expect(await refused.json()).toMatchObject({ type: '/problems/too-many-requests', limit: 1 });
  await free();
  expect((await edge.post('/v1/captions', newImage())).status).toBe(200);
});

it('fetches no image for a reply that has to be made', async () => {
  const free = await fill();
  const fetched: string[] = [];
  edge.deps.fetch = async (url) => {
    fetched.push(String(url));
    return new Response(newImage());
  };
  const image = { url: 'https://images.example/a.png' };
  const sampled = await edge.post('/v1/captions', { image, temperature: 1 });
  expect(sampled.status).toBe(429);
  expect(fetched).toEqual([]);
  await free();
});

it('replays what was written, here or in another instance', async () => {
  const image = newImage();
  const text = async (response: Response) =>
    ((await response.json()) as { caption?: string }).caption;
  const first = await edge.post('/v1/captions', image);
  const written = await text(first);
  await edge.settled();
  const free = await fill();
  expect(await text(await edge.post('/v1/captions', image))).toBe(written);
  await free();
  // Another instance has nothing in memory.
  edge = startEdge({ env: { MAX_REQUESTS_PER_WORKER: '1' } });
  const freeOther = await fill();
  expect(await text(await edge.post('/v1/captions', image))).toBe(written);
  await freeOther();
});
