/** What an object that works by alarms has set for itself, whatever its work does. */
import { runInDurableObject } from 'cloudflare:test';
import { expect, test } from 'vitest';
import { testEnv } from '../testing/edge.ts';
import { bound } from '../testing/jobs.ts';
import { Alarm } from './alarm.ts';

/** Far enough from now that no alarm comes while it is looked at. */
const NOW = Date.now() + 3_600_000;

async function inObject(
  work: (alarm: Alarm, storage: DurableObjectStorage) => Promise<unknown>,
): Promise<number | null> {
  const jobs = bound(testEnv.JOBS);
  return await runInDurableObject(jobs.get(jobs.newUniqueId()), async (_, { storage }) => {
    await work(new Alarm(storage, () => NOW), storage);
    const at = await storage.getAlarm();
    await storage.deleteAlarm();
    return at === null ? null : at - NOW;
  });
}

test('the earliest of what was asked for counts', async () => {
  const at = await inObject(async (alarm) => {
    await alarm.wake(NOW + 3000);
    await alarm.wake(NOW + 2000);
    await alarm.wake(NOW + 4000);
  });
  expect(at).toBe(2000);
});

test('another is set before any work, for an object that is killed in the middle of it', async () => {
  let during: number | null = null;
  await inObject((alarm, storage) =>
    alarm.run('test', async () => {
      during = await storage.getAlarm();
      return null;
    }),
  );
  expect(during).toBe(NOW + 10_000);
});

test('work says when it goes on, and whoever asks meanwhile may be earlier', async () => {
  expect(await inObject((alarm) => alarm.run('test', async () => NOW + 7000))).toBe(7000);
  expect(await inObject((alarm) => alarm.run('test', async () => null))).toBeNull();
  const asked = (next: number | null) =>
    inObject((alarm) =>
      alarm.run('test', async () => {
        await alarm.wake(NOW + 6000);
        return next;
      }),
    );
  expect(await asked(NOW + 7000)).toBe(6000);
  expect(await asked(NOW + 5000)).toBe(5000);
  expect(await asked(null)).toBe(6000);
});

test('work that fails is done again', async () => {
  const at = await inObject((alarm) =>
    alarm.run('test', async () => {
      throw new Error('the bucket is gone');
    }),
  );
  expect(at).toBe(5000);
});
