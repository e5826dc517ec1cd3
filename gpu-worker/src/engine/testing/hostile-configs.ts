/** Options of generations at the ends of what the schema allows, and beyond: for tests that nobody else notices them. */
import { GenerationConfig, generationParameterOptions } from '@blip2/shared/wire';
import fc from 'fast-check';
import * as z from 'zod/mini';

/** JSON schema of a number. */
const Range = z.object({
  type: z.enum(['integer', 'number']),
  minimum: z.optional(z.number()),
  exclusiveMinimum: z.optional(z.number()),
  maximum: z.number(),
});

const { properties = {} } = z.toJSONSchema(z.object(generationParameterOptions));

/** The ends of a parameter's range most of all, and numbers between them. */
function parameter(name: keyof GenerationConfig): fc.Arbitrary<number> {
  const { type, minimum, exclusiveMinimum, maximum: max } = Range.parse(properties[name]);
  const min = minimum ?? exclusiveMinimum ?? 0;
  if (type === 'integer') {
    const ends = fc.constantFrom(min, Math.min(min + 1, max), Math.max(max - 1, min), max);
    return fc.oneof(
      ends,
      fc.integer({ min, max }),
      fc.integer({ min, max: Math.min(min + 9, max) }),
    );
  }
  const least = minimum ?? Number.MIN_VALUE;
  const ends = fc.constantFrom(
    least,
    Math.max(least, Number.MIN_VALUE),
    Math.max(least, 1e-9),
    max,
  );
  return fc.oneof(ends, fc.double({ min: least, max, noNaN: true }));
}

/** A few tokens, so that a batch is soon over. */
const maxTokens = fc.integer({ min: 1, max: 10 });

const common = {
  min_tokens: parameter('min_tokens'),
  repetition_penalty: parameter('repetition_penalty'),
  frequency_penalty: parameter('frequency_penalty'),
  presence_penalty: parameter('presence_penalty'),
  no_repeat_ngram_size: parameter('no_repeat_ngram_size'),
  seed: parameter('seed'),
  top_logprobs: parameter('top_logprobs'),
};

const greedy = fc.record({ ...common, max_tokens: maxTokens });

const sampled = fc.record({
  ...common,
  max_tokens: maxTokens,
  temperature: parameter('temperature').filter((temperature) => temperature > 0),
  top_p: parameter('top_p'),
  top_k: parameter('top_k'),
  n: parameter('n'),
});

const searched = fc.record({
  ...common,
  max_tokens: maxTokens,
  num_beams: parameter('num_beams').filter((beams) => beams > 1),
  n: parameter('n'),
  length_penalty: parameter('length_penalty'),
  early_stopping: fc.constantFrom(true, false, 'never' as const),
});

/** Whatever the schema allows; short. */
export const allowedConfig: fc.Arbitrary<GenerationConfig> = fc
  .oneof(greedy, sampled, searched)
  .map((config: Partial<GenerationConfig> & { max_tokens: number }) =>
    GenerationConfig.parse({
      ...config,
      logprobs: true,
      min_tokens: Math.min(config.min_tokens ?? 0, config.max_tokens),
      n: Math.min(config.n ?? 1, config.num_beams ?? 8),
    }),
  );

const wild = fc.constantFrom(
  ...[1e-300, 1e-45, Number.MIN_VALUE, 1e300, Number.MAX_VALUE, -1, 0],
  ...[Number.NaN, Number.POSITIVE_INFINITY],
);

/** What no schema would allow: such a request may fail, alone. */
export const forbiddenConfig: fc.Arbitrary<GenerationConfig> = fc
  .tuple(
    allowedConfig,
    fc.record(
      {
        repetition_penalty: wild,
        frequency_penalty: wild,
        presence_penalty: wild,
        temperature: wild,
        top_p: wild,
        top_k: wild,
        length_penalty: wild,
      },
      { requiredKeys: [] },
    ),
  )
  .map(([allowed, change]) => ({ ...allowed, ...change }));

/** Batches that a property is tried with: of real models few as part of all tests, many with ISOLATION_BATCHES=10000. */
export function batches(few: number): number {
  return Number(process.env.ISOLATION_BATCHES ?? few);
}
