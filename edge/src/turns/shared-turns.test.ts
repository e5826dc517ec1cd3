import { expect, it } from 'vitest';
import { type SharedTurn, SharedTurns } from './shared-turns.ts';

/** Turns on a clock that moves when somebody waits for it, or says that it computes. */
function simulated() {
  let now = 1000;
  const timers: { at: number; resolve: () => void }[] = [];
  let pauses = 0;
  const pause = (ms = 0) => {
    pauses++;
    return new Promise<void>((resolve) => timers.push({ at: now + ms, resolve }));
  };
  const run = async (isOver: () => boolean) => {
    while (!isOver()) {
      // Nothing here waits for anything else than these timers.
      for (let n = 0; n < 20; n++) await null;
      if (timers.length === 0) continue;
      const next = timers.reduce((first, timer) => (timer.at < first.at ? timer : first));
      timers.splice(timers.indexOf(next), 1);
      now = Math.max(now, next.at);
      next.resolve();
    }
  };
  const turns = new SharedTurns({ now: () => now, pause });
  return {
    ...{ turns, run },
    now: () => now,
    pauses: () => pauses,
    compute: (ms: number) => {
      now += ms;
    },
  };
}

/** Objects that each have so many pieces, which take so long. @returns whose piece began when */
async function piecesOf(objects: string, each: number, ms: number) {
  const { turns, run, now, compute } = simulated();
  const begun: { name: string; at: number }[] = [];
  let left = objects.length;
  const work = async (name: string) => {
    for (let piece = 0; piece < each; piece++) {
      const turn = await turns.take(name);
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
  await turns.take('a');
  let next: SharedTurn | undefined;
  void turns.take('a').then((turn) => {
    next = turn;
  });
  await run(() => next !== undefined);
  expect(now() - 1000).toBeLessThan(60);
  const begun = now();
  compute(400);
  let isOver = false;
  void next?.end(0).then(async () => {
    await turns.take('a');
    isOver = true;
  });
  await run(() => isOver);
  expect(now() - begun).toBeLessThan(500);
});

/** Many objects of one owner, each with pieces without end, and one of somebody else with so many. */
async function besideMany(objects: number, pieces: number, ms: number) {
  const { turns, run, now, compute, pauses } = simulated();
  let isOver = false;
  const begun: string[] = [];
  const work = async (owner: string, each: number) => {
    for (let piece = 0; piece < each && !isOver; piece++) {
      const turn = await turns.take(owner);
      begun.push(owner);
      compute(ms);
      await turn.end(2 ** 20);
    }
  };
  for (let n = 0; n < objects; n++) void work('greedy', Number.POSITIVE_INFINITY);
  await run(() => begun.length >= 50);
  const from = { at: now(), pauses: pauses(), begun: begun.length };
  void work('light', pieces).then(() => {
    isOver = true;
  });
  await run(() => isOver);
  return { begun: begun.slice(from.begun), ms: now() - from.at, looks: pauses() - from.pauses };
}

it.each([0, 5, 40])(
  'pieces of %i ms of an owner of very many objects come between those of others, and no more of them',
  async (ms) => {
    const { begun } = await besideMany(1024, 20, ms);
    expect(begun.filter((owner) => owner === 'light')).toHaveLength(20);
    expect(begun.length).toBeLessThanOrEqual(45);
  },
);

it('a thousand that wait look a few times for each piece', async () => {
  const { begun, looks } = await besideMany(1024, 20, 5);
  expect(looks / begun.length).toBeLessThan(20);
});

it('objects of an owner all have their turns', async () => {
  const { begun } = await piecesOf('a'.repeat(100), 2, 3);
  expect(begun).toHaveLength(200);
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
  await turns.take('a');
  void turns.take('a');
  expect(turns.waiting).toBe(1);
  isGone = false;
  await turns.take('a');
  expect(now).toBeGreaterThan(1500);
  expect(turns.waiting).toBe(0);
});
