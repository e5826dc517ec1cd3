import { expect, it } from 'vitest';
import { expectPace } from './read-stream.ts';

it.each([
  ['at first', 1, 59_999],
  ['in an hour, of what a slow connection takes', 3600 * 4096, 3_600_000],
])('a body may come little by little %s', (_, bytes, ms) => {
  expect(() => expectPace(bytes, ms)).not.toThrow();
});

it('a body that comes by single bytes is given up', () => {
  expect(() => expectPace(5_000_005, 3_600_000)).toThrow('less than 4096 bytes a second');
});
