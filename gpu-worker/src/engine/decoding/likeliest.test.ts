import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { kthLargest, likeliestFirst } from './likeliest.ts';
import { sampleToken, seededRandom } from './sample-token.ts';

const logit = fc.oneof(
  fc.constantFrom(0, -0, 3.4e38, -3.4e38, 1e-45, -1e-45, Number.NEGATIVE_INFINITY),
  fc.integer({ min: -3, max: 3 }),
  fc.float({ noNaN: true, noDefaultInfinity: true }),
);
const logits = fc
  .array(logit, { minLength: 1, maxLength: 200 })
  .map((values) => Float32Array.from(values));

describe('tokens by their logits', () => {
  it('come in the order of a stable sort, down to the floor', () => {
    fc.assert(
      fc.property(logits, logit, (values, floor) => {
        const expected = [...values.keys()]
          .filter((id) => values[id]! >= floor)
          .sort((x, y) => values[y]! - values[x]! || x - y);
        expect([...likeliestFirst(values, floor)]).toEqual(expected);
      }),
    );
  });

  it('have the k-th largest of a sort', () => {
    fc.assert(
      fc.property(logits, fc.nat(), (values, n) => {
        const k = 1 + (n % values.length);
        const expected = [...values].sort((x, y) => y - x)[k - 1]!;
        expect(kthLargest(values, k) + 0).toBe(expected + 0);
      }),
    );
  });
});

describe('a whole vocabulary', () => {
  it.each([
    { temperature: 5, top_k: 50_271, top_p: 1 },
    { temperature: 1, top_k: 0, top_p: 0.95 },
    { temperature: 5, top_k: 50_271, top_p: 0.99 },
    { temperature: 1, top_k: 0, top_p: 1 },
  ])('is drawn from without comparing any two of it: %o', (sampling) => {
    const random = seededRandom(9);
    const row = Float32Array.from({ length: 50_272 }, () => 20 * random() - 10);
    const sorts = [Array.prototype, Float32Array.prototype, Float64Array.prototype].map((one) =>
      vi.spyOn(one, 'sort' as never),
    );
    sampleToken(row, sampling, random);
    const sorted = sorts.flatMap((sort) =>
      sort.mock.contexts.map((one) => (one as unknown as ArrayLike<number>).length),
    );
    for (const sort of sorts) sort.mockRestore();
    expect(sorted.every((length) => length < row.length / 4)).toBe(true);
  });
});
