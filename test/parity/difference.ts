/** How far two lists of numbers are apart; printed with PARITY_REPORT=1. */
import { expect } from 'vitest';

export function maxDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual.length).toBe(expected.length);
  let max = 0;
  for (let i = 0; i < actual.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (Number.isNaN(difference)) return Number.NaN;
    max = Math.max(max, difference);
  }
  if (process.env.PARITY_REPORT) console.log(expect.getState().currentTestName, max);
  return max;
}
