import { expect, it, vi } from 'vitest';
import { DearWork, dearWork } from '../turns/dear-work.ts';
import { fetchTurns } from './fetch-turns.ts';

const waitUntil = () => {};

it('may be waited for two thirds of what is left until the deadline', async () => {
  const clock = { now: 1000 };
  const longest: (number | undefined)[] = [];
  const turn = vi.spyOn(dearWork, 'turn').mockImplementation(async (_, __, { longestMs }) => {
    longest.push(longestMs);
  });
  try {
    const { signal } = new AbortController();
    const take = fetchTurns('a', { waitUntil, signal, deadlineAt: 31_000 }, () => clock.now);
    await take(100);
    clock.now += 27_000;
    await take(100);
    clock.now += 9000;
    await take(100);
    expect(longest).toEqual([20_000, 2000, 0]);
  } finally {
    turn.mockRestore();
  }
});

it('is over once the client is gone', async () => {
  // The first piece never ends.
  const work = new DearWork({ now: Date.now, pause: () => new Promise(() => {}) });
  const turn = vi.spyOn(dearWork, 'turn').mockImplementation((...given) => work.turn(...given));
  try {
    const client = new AbortController();
    const deadlineAt = Date.now() + 60_000;
    const context = { waitUntil, signal: client.signal, deadlineAt };
    const take = fetchTurns('a', context, Date.now);
    await take(100);
    const waiting = take(100);
    expect(work.waiting).toBe(1);
    client.abort(new Error('gone'));
    await expect(waiting).rejects.toThrow('gone');
    await expect(take(100)).rejects.toThrow('gone');
    expect(work.waiting).toBe(0);
  } finally {
    turn.mockRestore();
  }
});
