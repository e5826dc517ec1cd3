/** What does not add up in the results of a job. */
import { expect, it } from 'vitest';
import { faultsOf } from './check-lines.ts';
import type { ResultLine } from './job-client.ts';

const line = (id: string, code?: string): ResultLine => ({
  id,
  status: code === undefined ? 200 : null,
  error: code === undefined ? null : { code },
});
const expected = {
  ids: ['a', 'b', 'poison'],
  poison: new Map([['poison', 'gave-up']]),
  status: 'completed',
};
const counts = (completed: number, failed: number, canceled = 0) => ({
  total: 3,
  completed,
  failed,
  canceled,
});
const of = (lines: ResultLine[], items = counts(2, 1), status = 'completed') =>
  faultsOf({ status, items }, lines, expected);
const GOOD = [line('a'), line('b'), line('poison', 'gave-up')];

it('is nothing where every item has its line and the poison alone has failed', () => {
  expect(of(GOOD)).toEqual([]);
});

it.each<[string, string[], RegExp]>([
  ['a line that is missing', of(GOOD.slice(1)), /1 items have no line: a/],
  ['a line that is there twice', of([line('a'), ...GOOD]), /several lines: a/],
  ['another order', of([line('b'), line('a'), line('poison', 'gave-up')]), /order/],
  [
    'an innocent that failed',
    of([line('a', 'gave-up'), ...GOOD.slice(1)]),
    /innocent.*a \(gave-up\)/,
  ],
  [
    'poison with another error',
    of([line('a'), line('b'), line('poison', 'bad-gateway')]),
    /innocent/,
  ],
  ['poison that has a result', of([line('a'), line('b'), line('poison')]), /Poison has a result/],
  ['counts that lines do not have', of(GOOD, counts(3, 0)), /Counts say 3 completed/],
  ['counts without their sum', of(GOOD, counts(2, 0)), /do not add up/],
  ['another end', of(GOOD, counts(2, 1), 'expired'), /is expired/],
])('is %s', (_, faults, said) => {
  expect(faults.some((fault) => said.test(fault))).toBe(true);
});

it('is nothing where items that were canceled are counted so', () => {
  const lines = [line('a'), line('b', 'canceled'), line('poison', 'canceled')];
  const state = { status: 'cancelled', items: counts(1, 0, 2) };
  const canceled = { ...expected, poison: new Map(), status: 'cancelled' };
  expect(faultsOf(state, lines, canceled)).toEqual([]);
});
