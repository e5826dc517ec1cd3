/** Compares lists of numbers; PARITY_REPORT=1 prints the differences. */
import { expect } from 'vitest';
import { PROVIDER } from './provider.ts';

/** A GPU adds up in another order for another shape; the CPU may not (builder/README.md). */
const SAME = PROVIDER === 'cpu' ? 0 : 5e-5;

/** Bit for bit the same on the CPU. */
export function expectSame(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  what?: string,
): void {
  expect(maxDifference(actual, expected), what).toBeLessThanOrEqual(SAME);
}

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
