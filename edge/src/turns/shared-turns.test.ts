import { expect, it } from 'vitest';
import { type SharedTurn, SharedTurns } from './shared-turns.ts';

/** Turns on a clock that moves when somebody waits for it, or says that it computes. */
function simulated() {
  let now = 1000;
  const timers: { at: number; resolve: () => void }[] = [];
  const pause = (ms = 0) => new Promise<void>((resolve) => timers.push({ at: now + ms, resolve }));
  const run = async (isOver: () => boolean) => {
    while (!isOver()) {
      await new Promise((resolve) => setTimeout(resolve));
      timers.sort((a, b) => a.at - b.at);
      const next = timers.shift();
      now = Math.max(now, next?.at ?? now);
      next?.resolve();
    }
  };
  const turns = new SharedTurns({ now: () => now, pause });
  return { turns, run, now: () => now, compute: (ms: number) => (now += ms) };
}

/** Objects that each have so many pieces, which take so long. @returns whose piece began when */
async function piecesOf(objects: string, each: number, ms: number) {
  const { turns, run, now, compute } = simulated();
  const begun: { name: string; at: number }[] = [];
  let left = objects.length;
  const work = async (name: string) => {
    for (let piece = 0; piece < each; piece++) {
      const turn = await turns.take();
      begun.push({ name, at: now() });
      compute(ms);
      await turn.end(2 ** 20);
    }
    left--;
  };
  for (const name of objects) void work(name);
  await run(() => left === 0);
  return { begun, ms: now() - 1000 };
}

it.each([2, 20, 300])(
  'of pieces of %i ms the objects together leave half of the time',
  async (ms) => {
    for (const objects of ['a', 'abcd']) {
      const { begun } = await piecesOf(objects, 3, ms);
      const apart = begun.slice(1).map(({ at }, index) => at - (begun[index]?.at ?? 0));
      expect(Math.min(...apart)).toBeGreaterThanOrEqual(2 * ms);
    }
  },
);

it('objects have their turns one after the other', async () => {
  const { begun } = await piecesOf('abc', 3, 10);
  expect(begun.map(({ name }) => name).join('')).toBe('abcabcabc');
});

it('who was dearer than all has others wait for two seconds at most', async () => {
  const { begun } = await piecesOf('ab', 1, 60_000);
  const [first, second] = begun;
  expect((second?.at ?? 0) - (first?.at ?? 0)).toBeLessThan(62_300);
});

it('what waits for something far away keeps others out for a twentieth of a second', async () => {
  const { turns, run, now, compute } = simulated();
  await turns.take();
  let next: SharedTurn | undefined;
  void turns.take().then((turn) => {
    next = turn;
  });
  await run(() => next !== undefined);
  expect(now() - 1000).toBeLessThan(60);
  const begun = now();
  compute(400);
  let isOver = false;
  void next?.end(0).then(async () => {
    await turns.take();
    isOver = true;
  });
  await run(() => isOver);
  expect(now() - begun).toBeLessThan(500);
});

it('an object that is gone while it waits keeps nobody out', async () => {
  let now = 1000;
  let isGone = true;
  const pause = async (ms = 0) => {
    // Its timer never comes.
    if (isGone) return await new Promise<void>(() => {});
    now += ms;
  };
  const turns = new SharedTurns({ now: () => now, pause });
  await turns.take();
  void turns.take();
  expect(turns.waiting).toBe(1);
  isGone = false;
  await turns.take();
  expect(now).toBeGreaterThan(1500);
});
