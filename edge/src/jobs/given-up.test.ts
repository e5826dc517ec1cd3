/** Items that came back from the queue too often, or that GPU workers began and did not end. */
import { expect, test } from 'vitest';
import { caption, createJob } from '../testing/jobs.ts';

const line = (custom_id: string) => ({
  custom_id,
  method: 'POST',
  url: '/v1/captions',
  body: { image: { url: `https://images.example.org/${custom_id}.png` } },
});
const GAVE_UP = { kind: 'gave-up', receives: 12 } as const;

test('an item that workers began alone, and were not heard of again, is begun three times', async () => {
  const job = await createJob([line('poison'), line('good')]);
  await job.receive();
  const begun = [];
  for (let i = 0; i < 5; i++) begun.push(await job.begin(0, 0));
  expect(begun).toEqual([true, true, true, false, false]);
  const ended = await job.run(({ item, ...message }) =>
    item === 0 ? null : caption({ item, ...message }),
  );
  expect(ended.counts).toEqual({ total: 2, completed: 1, failed: 1, canceled: 0 });
  const [first] = await job.results();
  expect(first).toMatchObject({
    error: { code: 'gave-up', message: expect.stringMatching(/3 times/) },
  });
});

test('a worker that asks again, since it has heard nothing, has begun an item once', async () => {
  const job = await createJob([line('lost replies')]);
  await job.receive();
  const begun = [];
  for (const attempt of ['a', 'a', 'b', 'b', 'c', 'c', 'a', 'd']) {
    begun.push(await job.begin(0, 0, attempt));
  }
  expect(begun).toEqual([true, true, true, true, true, true, true, false]);
});

test('an item that is sent again is marked where workers were not heard of again, and only then', async () => {
  const job = await createJob([line('begun'), line('given up'), line('other')]);
  const sent = new Map<number, boolean[]>();
  const ended = await job.run(async ({ item, ...message }, isSuspect = false) => {
    const before = sent.get(item) ?? [];
    sent.set(item, [...before, isSuspect]);
    if (item === 2 || before.length > 0) return caption({ item, ...message });
    if (item === 0) await job.begin(0, item, 'attempt');
    return GAVE_UP;
  });
  expect(ended.counts).toEqual({ total: 3, completed: 3, failed: 0, canceled: 0 });
  expect(Object.fromEntries(sent)).toEqual({ 0: [false, true], 1: [false, true], 2: [false] });
});

test('an item that was begun and then ended has its result', async () => {
  const job = await createJob([line('slow')]);
  await job.receive();
  for (let i = 0; i < 3; i++) await job.begin(0, 0);
  const ended = await job.run();
  expect(ended.counts).toEqual({ total: 1, completed: 1, failed: 0, canceled: 0 });
  expect(await job.begin(0, 0)).toBe(false);
});

test('an item that was given up but never begun alone is sent again', async () => {
  const job = await createJob([line('innocent')]);
  let sent = 0;
  const ended = await job.run((message) => (++sent === 1 ? GAVE_UP : caption(message)));
  expect(ended.counts).toEqual({ total: 1, completed: 1, failed: 0, canceled: 0 });
  expect(sent).toBe(2);
});

test('an item that is given up again and again has failed', async () => {
  const job = await createJob([line('unlucky')]);
  let sent = 0;
  const ended = await job.run(() => {
    sent++;
    return GAVE_UP;
  });
  expect(ended.counts).toEqual({ total: 1, completed: 0, failed: 1, canceled: 0 });
  expect(sent).toBe(4);
  expect(await job.results()).toMatchObject([{ error: { code: 'gave-up' } }]);
});

test('an item of a job that is canceled is not begun', async () => {
  const job = await createJob([line('late')]);
  await job.receive();
  await job.cancel();
  await job.until('cancelled');
  expect(await job.begin(0, 0)).toBe(false);
});
