import { expect, it } from 'vitest';
import { Turns } from './turns.ts';

const PACE = { times: 2, shortestMs: 10, longestMs: 50 };

it('objects that come together get times one after the other', () => {
  const turns = new Turns(PACE);
  const first = Array.from({ length: 4 }, () => turns.take(1000));
  expect(first).toEqual([0, 10, 20, 30]);
  expect(turns.take(1015)).toBe(25);
  expect(turns.take(2000)).toBe(0);
});

it('turns are twice as far apart as the last one took, within bounds', () => {
  const turns = new Turns(PACE);
  const apart = (ms: number, now: number) => {
    turns.took(ms);
    turns.take(now);
    return turns.take(now);
  };
  expect(apart(15, 1000)).toBe(30);
  expect(apart(2, 2000)).toBe(10);
  expect(apart(900, 3000)).toBe(50);
});
