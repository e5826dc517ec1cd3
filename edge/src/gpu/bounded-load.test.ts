/** Who gets a request by how much everybody has. */
import { expect, it } from 'vitest';
import { firstWithRoom } from './bounded-load.ts';

const nodes = (...inFlight: number[]) =>
  inFlight.map((count, index) => ({ index, weight: 1, inFlight: count }));

it.each([
  [[0, 0, 0], 0],
  [[1, 0, 0], 1],
  [[1, 1, 1], 0],
  [[3, 1, 1], 1],
  [[4, 4, 0, 0], 2],
])('of workers with %j, the one at %d is the first with room', (inFlight, expected) => {
  expect(firstWithRoom(nodes(...inFlight))?.index).toBe(expected);
});

it('a worker of twice the weight may have twice as much', () => {
  const [large, small] = [
    { weight: 2, inFlight: 8 },
    { weight: 1, inFlight: 1 },
  ];
  expect(firstWithRoom([large, small])).toBe(large);
  expect(firstWithRoom([{ ...large, weight: 1 }, small])).toBe(small);
});

it('there is always one, where there are any', () => {
  expect(firstWithRoom(nodes(7))?.index).toBe(0);
  expect(firstWithRoom([])).toBeUndefined();
});
