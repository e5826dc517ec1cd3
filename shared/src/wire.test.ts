import { describe, expect, it } from 'vitest';
import * as z from 'zod/mini';
import { GenerationConfig, generationParameterOptions } from './wire.ts';

type Described = { type?: string; minimum?: number; exclusiveMinimum?: number; maximum?: number };

const { properties = {} } = z.toJSONSchema(z.object(generationParameterOptions));
const numbers = (Object.entries(properties) as [string, Described][]).filter(
  ([, { type }]) => type === 'integer' || type === 'number',
);

describe('a number that a request may set', () => {
  it.each(numbers)('%s has a range that its description and its errors name', (name, described) => {
    const { minimum, exclusiveMinimum, maximum = Number.POSITIVE_INFINITY } = described;
    const least = minimum ?? exclusiveMinimum ?? Number.NEGATIVE_INFINITY;
    expect(least).toBeGreaterThanOrEqual(-10);
    expect(maximum).toBeLessThan(2 ** 32);
    const errorOf = (value: unknown) => {
      const { error } = GenerationConfig.safeParse({ max_tokens: 32_768, [name]: value });
      return error?.issues.find(({ path }) => path[0] === name)?.message;
    };
    for (const value of [least - 1, maximum + 1, 1e15, -1e15, Number.NaN, 1 / 0, '7']) {
      expect(errorOf(value)).toMatch(`${least}`);
      expect(errorOf(value)).toMatch(`${maximum}`);
    }
  });

  it('is never larger than what it depends on', () => {
    const { error } = GenerationConfig.safeParse({ max_tokens: 5, min_tokens: 6 });
    expect(error?.issues).toMatchObject([
      { path: ['min_tokens'], message: 'must be at most max_tokens, which is 5' },
    ]);
  });
});
