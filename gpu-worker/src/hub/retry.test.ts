import { describe, expect, it } from 'vitest';
import { backoffMs, retryAfterMs } from './retry.ts';

describe('the delay before another attempt', () => {
  it.each([
    [1, 0, 500],
    [1, 1, 1000],
    [3, 1, 4000],
    [9, 1, 30_000],
  ])('after %d failures, at random %d, is %d ms', (failures, random, ms) => {
    expect(backoffMs(failures, random)).toBe(ms);
  });

  it.each([
    [null, undefined],
    ['5', 5000],
    ['86400', 300_000],
    ['Thu, 01 Jan 1970 00:00:09 GMT', 9000],
    ['Wed, 31 Dec 1969 00:00:00 GMT', 0],
    ['soon', undefined],
  ])('that a server asks for with "%s" is %s ms', (header, ms) => {
    expect(retryAfterMs(header, 0)).toBe(ms);
  });
});
