import { describe, expect, it } from 'vitest';
import * as z from 'zod/mini';
import { validate } from './validate.ts';

describe('a number out of bounds', () => {
  const seconds = z.int().check(z.gte(60), z.lte(604_800));
  const Schema = z.strictObject({
    seconds: z.optional(seconds),
    either: z.optional(z.union([seconds, z.boolean()])),
    list: z.optional(z.array(seconds)),
    count: z.optional(z.int().check(z.nonnegative())),
  });

  it.each([
    [{ seconds: 604_801 }, 'seconds: must be at most 604800.'],
    [{ seconds: 1e300 }, 'seconds: must be at most 604800.'],
    [{ seconds: -1e300 }, 'seconds: must be at least 60.'],
    [{ either: 1e300 }, 'either: must be at most 604800.'],
    [{ list: [60, 1e300, 59] }, 'list.1: must be at most 604800.'],
    [{ seconds: 1e300, color: 'red' }, 'seconds: must be at most 604800.'],
    [{ count: 1e300 }, 'count: must be at most 9007199254740991.'],
    [{ count: -1e300 }, 'count: must be at least 0.'],
  ])('%j is refused by the bound of its field', (value, detail) => {
    expect(() => validate(Schema, value)).toThrow(detail);
  });
});
