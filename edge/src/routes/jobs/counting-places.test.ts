import { expect, it } from 'vitest';
import { CountingPlaces } from './counting-places.ts';

it('has one count of an owner at a time, until it leaves or is gone', async () => {
  let now = 1000;
  let looks = 0;
  let onPause = () => {};
  const places = new CountingPlaces({
    now: () => now,
    pause: async () => {
      looks++;
      now += 100;
      onPause();
    },
  });
  const never = () => false;
  const first = await places.take('a', never);
  await places.take('b', never);
  expect(looks).toBe(0);
  onPause = () => (looks === 3 ? first.leave() : undefined);
  await places.take('a', never);
  expect(looks).toBe(3);
  // The second has been stopped, and says nothing any more.
  await places.take('a', never);
  expect(looks).toBe(53);
  await expect(places.take('a', () => looks > 60)).rejects.toMatchObject({
    slug: 'deadline-exceeded',
  });
});
