/** One line for each item, whatever is lost, doubled or killed; the seed is in the test's name. */
import { runInDurableObject } from 'cloudflare:test';
import { expect, test } from 'vitest';
import { captioned, createJob, remove } from '../testing/jobs.ts';

/** Numbers from 0 to 1 that follow from a seed (Park and Miller). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

test.each([Math.floor(Math.random() * 1e6) + 1, 7])('seed %i', async (seed) => {
  const random = randomOf(seed);
  const items = 130;
  const job = await createJob(
    Array.from({ length: items }, (_, i) => ({
      custom_id: `item-${i}`,
      method: 'POST',
      url: '/v1/captions',
      body: { image: { url: `https://images.example.org/${i}.png` } },
    })),
  );
  const kill = (stub: DurableObjectStub) =>
    runInDurableObject(stub, (_, state) => state.abort('killed')).catch(() => {});
  let state = 'validating';
  while (state !== 'completed') {
    for (const { message, handle } of await job.receive(1)) {
      const { part, item } = message;
      const chance = random();
      if (chance < 0.06) await kill(job.part(part));
      else if (chance < 0.09) await kill(job.stub);
      // The worker is gone, with or without its message.
      else if (chance < 0.13) continue;
      else if (chance < 0.16) {
        await remove(handle);
        continue;
      }
      const outcome = captioned(` ${part}/${item}`);
      const commit = () => job.commit(part, [{ item, outcome }]);
      // Of two at a time, one is the first; and the reply may be lost.
      const replies = await Promise.allSettled(chance < 0.6 ? [commit()] : [commit(), commit()]);
      const fresh = replies.map((reply) => (reply.status === 'fulfilled' ? reply.value.fresh : 0));
      expect(fresh.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(1);
      if (chance < 0.95) await remove(handle);
    }
    ({ state } = await job.snapshot());
  }
  const { counts } = await job.snapshot();
  expect(counts).toEqual({ total: items, completed: items, failed: 0, canceled: 0 });
  const results = await job.results();
  expect(
    results.map(({ custom_id, body }) => [custom_id, (body as { caption: string }).caption]),
  ).toEqual(
    Array.from({ length: items }, (_, i) => [`item-${i}`, `${Math.floor(i / 50)}/${i % 50}`]),
  );
});
