import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { type LogLine, RepeatedLines } from './repeated-lines.ts';

const printed: string[] = [];
let lines: RepeatedLines;
beforeEach(() => {
  vi.useFakeTimers();
  printed.length = 0;
  lines = new RepeatedLines(({ level, message }: LogLine) => printed.push(`${level} ${message}`));
});
afterEach(() => {
  vi.useRealTimers();
});

const PLACE = 'workerd/api/global-scope.c++:286: failed: CONNECT';
const add = (message: string, level = 'error') => lines.add({ level, message });

it('a thousand lines of one place in a second are the first, and one with their number', () => {
  for (let i = 0; i < 1000; i++) add(`Uncaught exception: ${PLACE} ${i}`);
  expect(printed).toEqual([`error Uncaught exception: ${PLACE} 0`]);
  vi.advanceTimersByTime(1000);
  expect(printed.slice(1)).toEqual([`error Uncaught exception: ${PLACE} 999 (999 such lines)`]);
});

it('a place is printed once a second while lines go on, and at once when they had ended', () => {
  for (let i = 0; i < 50; i++) {
    add(PLACE);
    vi.advanceTimersByTime(100);
  }
  expect(printed).toHaveLength(6);
  vi.advanceTimersByTime(2000);
  const before = printed.length;
  add(PLACE);
  add(PLACE);
  expect(printed).toHaveLength(before + 1);
  vi.advanceTimersByTime(1000);
  expect(printed.at(-1)).toBe(`error ${PLACE}`);
  expect(vi.getTimerCount()).toBe(1);
  vi.advanceTimersByTime(1000);
  expect(vi.getTimerCount()).toBe(0);
});

it('other places, other levels and the lines of the Worker are printed as they come', () => {
  const others = ['kj/async-io.c++:1: a', 'workerd/io/worker.c++:2: b', PLACE];
  for (const message of others) add(message);
  add(PLACE, 'warn');
  for (let i = 0; i < 3; i++) add('{"level":"error","event":"problem"}');
  expect(printed).toHaveLength(7);
  expect(vi.getTimerCount()).toBe(4);
});
