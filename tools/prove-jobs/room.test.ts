import { expect, test } from 'vitest';
import { Room } from './room.ts';

test('all who wait go on, also after one has left in vain', async () => {
  const room = new Room(1);
  let passed = 0;
  // One more than there is room for: messages come ten at a time.
  room.enter();
  room.enter();
  const visitors = Array.from({ length: 8 }, async () => {
    await room.free();
    passed++;
  });
  room.leave();
  await new Promise((resolve) => setImmediate(resolve));
  expect(passed).toBe(0);
  room.leave();
  await Promise.all(visitors);
  expect(passed).toBe(8);
});
