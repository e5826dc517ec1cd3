import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ClientQueue } from './client-queue.ts';

const isThere = () => true;

function queueOf(...waiters: string[]) {
  const queue = new ClientQueue<string>();
  for (const waiter of waiters) queue.add(waiter[0] ?? '', waiter);
  return queue;
}

it('clients come by turns, and those of one in the order in which they came', () => {
  const queue = queueOf('a1', 'a2', 'a3', 'b1', 'c1', 'b2');
  expect(queue.peek(isThere)).toBe('a1');
  const taken = Array.from({ length: 7 }, () => queue.take(isThere));
  expect(taken).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3', undefined]);
  expect(queue.isEmpty).toBe(true);
});

it('those that are not there leave it when they come first', () => {
  const queue = queueOf('a1', 'a2', 'b1', 'b2');
  expect(queue.peek((waiter) => waiter.endsWith('2'))).toBe('a2');
  expect(queue.take((waiter) => waiter === 'b2')).toBe('b2');
  expect(queue.isEmpty).toBe(true);
});

it('each that waits is asked for once, however many have left', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 200 }), (leaves) => {
      const queue = new ClientQueue<number>();
      for (const n of leaves.keys()) queue.add('a', n);
      for (const [n, hasLeft] of leaves.entries()) if (hasLeft) queue.delete('a', n);
      const asked: number[] = [];
      while (!queue.isEmpty) queue.take((n) => asked.push(n) > 0);
      expect(asked).toEqual([...leaves.keys()].filter((n) => !leaves[n]));
    }),
  );
});
