/** Results of a job are bounded by their bytes: by what is known before, and by what they turn out to be. */
import { expect, test } from 'vitest';
import { partItems, resultsTooLarge, shareOf } from './result-budget.ts';

const store = (hidden: number) => ({ shape: { numQueries: 32, hidden } });
const stores = { query: store(768), itc: store(256) };
const deps = { stores } as unknown as Parameters<typeof partItems>[1];
const job = { kind: 'job', url: '/v1/embeddings', settings: {} } as const;

test('a job of more embeddings than results may have is refused with how many it may have', () => {
  expect(resultsTooLarge(job, deps, 40_000)).toBeNull();
  expect(resultsTooLarge(job, deps, 44_000)).toMatchObject({
    code: 'results_too_large',
    message: expect.stringContaining('of 43599 items at most'),
  });
  expect(resultsTooLarge({ ...job, settings: { kind: 'itc' } }, deps, 120_000)).toBeNull();
  expect(resultsTooLarge({ ...job, url: '/v1/captions' }, deps, 4_000_000)).toBeNull();
});

test('parts of embeddings have as many items as have 256 MiB, all others as many as ever', () => {
  expect(partItems(job, deps, 10_000)).toBe(544);
  expect(partItems({ ...job, settings: { kind: 'itc' } }, deps, 10_000)).toBe(1628);
  expect(partItems(job, deps, 100)).toBe(100);
  expect(partItems({ ...job, url: '/v1/captions' }, deps, 10_000)).toBe(10_000);
});

test('parts share what a job may have by their items, and none has more than one put to a bucket takes', () => {
  expect(shareOf(1000, 40_000)).toBe(2 ** 29);
  expect(shareOf(1000, 4000)).toBe(2 * 2 ** 30);
  expect(shareOf(1000, 1000)).toBe(2 * 2 ** 30);
});
