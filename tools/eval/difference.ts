/** How far two lists of numbers are apart; printed with PARITY_REPORT=1. */
import { expect } from 'vitest';
import { PROVIDER } from './execution-provider.ts';

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

/** Least cosine of the rows of two tensors, float32 [rows, width]. */
export function leastCosine(a: Float32Array, b: Float32Array, width: number): number {
  const cosines = Array.from({ length: a.length / width }, (_, row) => {
    const cut = (all: Float32Array) => all.subarray(row * width, (row + 1) * width);
    return cosine(cut(a), cut(b));
  });
  return Math.min(...cosines);
}

function cosine(a: Float32Array, b: Float32Array): number {
  let [product, first, second] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    product += a[i]! * b[i]!;
    first += a[i]! ** 2;
    second += b[i]! ** 2;
  }
  return product / Math.sqrt(first * second);
}
