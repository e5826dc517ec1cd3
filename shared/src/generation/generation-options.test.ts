import { describe, expect, it } from 'vitest';
import { type GenerationOptions, generationOptionsFrom } from './generation-options.ts';

describe('other names', () => {
  it.each<[GenerationOptions, GenerationOptions]>([
    [
      { max_new_tokens: 9, min_new_tokens: 2 },
      { max_tokens: 9, min_tokens: 2 },
    ],
    [
      { max_completion_tokens: 9, top_k: 3 },
      { max_tokens: 9, top_k: 3 },
    ],
    [
      { num_return_sequences: 2, num_beams: 2 },
      { n: 2, num_beams: 2 },
    ],
    [{ max_new_tokens: 9, max_tokens: 9 }, { max_tokens: 9 }],
    [{ do_sample: true }, { temperature: 1 }],
    [{ do_sample: true, temperature: 0.3 }, { temperature: 0.3 }],
    [{ do_sample: false }, { temperature: 0 }],
    [{ do_sample: false, temperature: 1 }, { temperature: 0 }],
    [{ do_sample: false, temperature: 0 }, { temperature: 0 }],
    [{}, {}],
  ])('%o means %o', (options, ours) => {
    expect(generationOptionsFrom(options)).toEqual(ours);
  });

  it.each<[GenerationOptions, RegExp]>([
    [
      { max_tokens: 8, max_new_tokens: 9 },
      /max_new_tokens: is another name of max_tokens, and max_tokens is 8/,
    ],
    [{ max_completion_tokens: 8, max_new_tokens: 9 }, /is another name of max_completion_tokens/],
    [{ do_sample: true, temperature: 0 }, /do_sample: true samples, and temperature 0 does not/],
    [
      { do_sample: false, temperature: 0.7 },
      /do_sample: false does not sample, and temperature 0.7 does/,
    ],
  ])('that contradict each other are refused: %o', (options, detail) => {
    expect(() => generationOptionsFrom(options)).toThrow(detail);
  });
});
