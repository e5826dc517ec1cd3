import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { candidates, sampleToken, seededRandom } from './sample-token.ts';

const greedy = { temperature: 0, top_p: 1, top_k: 0 };
const logits = (...values: number[]) => Float32Array.from(values);

describe('greedy choice', () => {
  it('picks the largest logit, the first of equals', () => {
    expect(sampleToken(logits(1, 5, 5, 2), greedy, () => 0.99)).toBe(1);
  });

  it('picks the largest logit with top_k 1 at any temperature', () => {
    const sampling = { ...greedy, temperature: 2, top_k: 1 };
    expect(sampleToken(logits(0, 3, 1), sampling, () => 0.999)).toBe(1);
  });
});

describe('candidates', () => {
  const p = [0.5, 0.25, 0.125, 0.0625, 0.0625];
  const values = () => Float32Array.from(p, Math.log);
  const all = { temperature: 1, top_k: 0, top_p: 1 };

  it.each<[string, typeof all, number[], number[]]>([
    ['are the whole distribution without limits', all, [0, 1, 2, 3, 4], p],
    ['are the k likeliest', { ...all, top_k: 2 }, [0, 1], [2 / 3, 1 / 3]],
    ['include ties with the last of the k', { ...all, top_k: 4 }, [0, 1, 2, 3, 4], p],
    ['are the fewest that reach top_p', { ...all, top_p: 0.6 }, [0, 1], [2 / 3, 1 / 3]],
    ['are at least one', { ...all, top_p: 0.01 }, [0], [1]],
    ['take top_p of what top_k left', { ...all, top_k: 2, top_p: 0.6 }, [0], [1]],
    ['are sharper when colder', { ...all, temperature: 0.5, top_k: 2 }, [0, 1], [0.8, 0.2]],
  ])('%s', (_name, sampling, tokens, probabilities) => {
    const found = candidates(values(), sampling);
    expect([...found.tokens]).toEqual(tokens);
    expect(found.probabilities.length).toBe(probabilities.length);
    for (const [i, probability] of probabilities.entries()) {
      expect(found.probabilities[i]).toBeCloseTo(probability, 5);
    }
  });
});

describe('candidates of many tokens', () => {
  /** The definition, with everything sorted. */
  function plain(
    values: Float32Array,
    { temperature, top_k, top_p }: { temperature: number; top_k: number; top_p: number },
  ): number[] {
    let tokens = [...values.keys()].sort((x, y) => values[y]! - values[x]!);
    if (top_k > 0) {
      const least = values[tokens[Math.min(top_k, tokens.length) - 1]!]!;
      tokens = tokens.filter((token) => values[token]! >= least);
    }
    const weights = tokens.map((token) =>
      Math.exp((values[token]! - values[tokens[0]!]!) / temperature),
    );
    const mass = weights.reduce((sum, weight) => sum + weight, 0);
    let [count, reached] = [0, 0];
    while (top_p < 1 && count < tokens.length && reached < top_p * mass)
      reached += weights[count++]!;
    return top_p < 1 ? tokens.slice(0, count) : tokens;
  }

  it('equal those of a full sort', () => {
    const random = seededRandom(3);
    for (let round = 0; round < 200; round++) {
      // Rounded, so that ties are common.
      const values = Float32Array.from({ length: 300 }, () => Math.round(random() * 80) / 10);
      const sampling = {
        temperature: 0.3 + 2 * random(),
        top_k: [0, 1, 7, 50, 300, 999][round % 6]!,
        top_p: [1, 0.9, 0.5, 0.05][round % 4]!,
      };
      const found = [...candidates(values, sampling).tokens];
      const expected = plain(values, sampling);
      if (sampling.top_k === 0 && sampling.top_p === 1) expected.sort((x, y) => x - y);
      expect(found).toEqual(expected);
    }
  });

  it('never include a forbidden token, unless all are forbidden', () => {
    const values = new Float32Array(50).fill(Number.NEGATIVE_INFINITY);
    values[7] = -3;
    expect([...candidates(values, { temperature: 1, top_k: 5, top_p: 0.9 }).tokens]).toEqual([7]);
  });
});

describe('of any finite logits, under any setting', () => {
  const logit = fc.oneof(
    fc.constantFrom(0, -0, 3.4e38, -3.4e38, 1e-45, Number.NEGATIVE_INFINITY),
    fc.float({ noNaN: true, noDefaultInfinity: true }),
  );
  const above0 = (max: number) =>
    fc.oneof(
      fc.constantFrom(Number.MIN_VALUE, 1e-300, 1e-9, max),
      fc.double({ min: Number.MIN_VALUE, max, noNaN: true }),
    );
  const anything = {
    values: fc.array(logit, { minLength: 1, maxLength: 40 }),
    temperature: above0(5),
    top_p: above0(1),
    top_k: fc.constantFrom(0, 1, 2, 39, 40, 1_000_000),
    u: fc.constantFrom(0, 0.5, 1 - 2 ** -32),
  };

  it('probabilities are numbers that add up to 1, and one that may be drawn is drawn', () => {
    fc.assert(
      fc.property(fc.record(anything), ({ values, u, ...sampling }) => {
        const row = Float32Array.from(values);
        const { tokens, probabilities } = candidates(row, sampling);
        expect(probabilities.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 9);
        const token = sampleToken(row, sampling, () => u);
        if (sampling.top_k !== 1) expect(probabilities[tokens.indexOf(token)]).toBeGreaterThan(0);
        if (Math.max(...values) > Number.NEGATIVE_INFINITY) {
          expect(row[token]).toBeGreaterThan(Number.NEGATIVE_INFINITY);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('no token is drawn of what is no number', () => {
    const draw = () =>
      sampleToken(new Float32Array(4).fill(Number.NaN), { ...greedy, temperature: 1 }, () => 0);
    expect(draw).toThrow('no token has a probability');
  });
});

describe('drawing', () => {
  it('follows the probabilities', () => {
    const random = seededRandom(42);
    const counts = [0, 0, 0];
    const sampling = { ...greedy, temperature: 1 };
    const draws = 20_000;
    for (let i = 0; i < draws; i++) {
      const token = sampleToken(Float32Array.from([0.6, 0.3, 0.1], Math.log), sampling, random);
      counts[token]! += 1;
    }
    // Three standard deviations of a binomial at the largest of the three.
    const tolerance = 3 * Math.sqrt((0.6 * 0.4) / draws);
    [0.6, 0.3, 0.1].forEach((p, token) => {
      expect(Math.abs(counts[token]! / draws - p)).toBeLessThan(tolerance);
    });
  });

  it('is the same for the same seed and another for another', () => {
    const sequence = (seed: number) => Array.from({ length: 8 }, seededRandom(seed));
    expect(sequence(7)).toEqual(sequence(7));
    expect(sequence(7)).not.toEqual(sequence(8));
  });

  it('draws numbers that fill [0, 1) evenly', () => {
    const random = seededRandom(1);
    const bins = new Array<number>(10).fill(0);
    for (let i = 0; i < 50_000; i++) bins[Math.floor(random() * 10)]! += 1;
    for (const count of bins) expect(Math.abs(count - 5000)).toBeLessThan(300);
  });
});
