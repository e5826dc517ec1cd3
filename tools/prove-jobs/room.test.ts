import { expect, test } from 'vitest';
import { Room } from './room.ts';

test('of many who wait, each goes on as long as others leave', async () => {
  const room = new Room(1);
  let passed = 0;
  room.enter();
  const visitors = Array.from({ length: 8 }, async () => {
    await room.free();
    room.enter();
    passed++;
    // The next finds it full once more, and has to be woken again.
    await Promise.resolve();
    room.leave();
  });
  room.leave();
  await Promise.all(visitors);
  expect(passed).toBe(8);
});
