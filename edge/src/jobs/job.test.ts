/** A job from its lines to its results: real objects, bucket and queue. */
import { expect, test } from 'vitest';
import { caption, createJob } from '../testing/jobs.ts';

const line = (custom_id: string, body: object = {}) => ({
  custom_id,
  method: 'POST',
  url: '/v1/captions',
  body: { image: { url: `https://images.example.org/${custom_id}.png` }, ...body },
});

test('a job has one result for each of its lines, in their order', async () => {
  const job = await createJob(Array.from({ length: 120 }, (_, i) => line(`item-${i}`)));
  const ended = await job.run(caption);
  expect(ended.errors).toEqual([]);
  expect(ended.state).toBe('completed');
  expect(ended.counts).toEqual({ total: 120, completed: 120, failed: 0, canceled: 0 });
  expect(ended.parts).toBe(3);
  const results = await job.results();
  expect(results.map(({ custom_id }) => custom_id)).toEqual(
    Array.from({ length: 120 }, (_, i) => `item-${i}`),
  );
  expect(results[51]).toMatchObject({
    part: 1,
    item: 1,
    outcome: 'completed',
    status: 200,
    body: { caption: 'item 1/1', image: { sha256: 'a'.repeat(64), width: 4, height: 3 } },
  });
}, 60_000);
