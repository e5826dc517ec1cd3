/** What a job takes from the limits of who sent it. */
import { expect, test } from 'vitest';
import { caption, createJob } from '../testing/jobs.ts';
import type { JobOrder } from './contract.ts';

const lines = (count: number) =>
  Array.from({ length: count }, (_, i) => ({
    custom_id: `item-${i}`,
    method: 'POST',
    url: '/v1/captions',
    body: { image: { url: `https://images.example.org/${i}.png` } },
  }));

function senderWith(images_per_day: number): JobOrder['sender'] {
  const record = { name: 'limited', scopes: [], created_at: 0, limits: { images_per_day } };
  return { caller: { id: crypto.randomUUID(), record, namespace: '' }, address: '' };
}

test("each item of a job is an image of its sender's day, and a job that needs more than are left runs none", async () => {
  const sender = senderWith(5);
  const first = await createJob(lines(3), { sender });
  expect((await first.run(caption)).state).toBe('completed');
  const second = await createJob(lines(3), { sender });
  const refused = await second.run(caption);
  expect(refused.state).toBe('failed');
  expect(refused.errors).toEqual([
    {
      line: null,
      code: 'quota-exceeded',
      message: expect.stringContaining('Its 3 items count as images of a day.'),
      param: null,
    },
  ]);
  expect(await second.results()).toEqual([]);
  const third = await createJob(lines(2), { sender });
  expect((await third.run(caption)).state).toBe('completed');
});

test('a job whose lines are wrong takes nothing', async () => {
  const sender = senderWith(2);
  const wrong = await createJob([...lines(2), 'no JSON'], { sender });
  expect((await wrong.run(caption)).errors).toMatchObject([{ line: 3 }]);
  const right = await createJob(lines(2), { sender });
  expect((await right.run(caption)).state).toBe('completed');
});
