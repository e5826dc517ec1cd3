import { describe, expect, it } from 'vitest';
import { type GenerationDefaults, withDefaults } from './generation-defaults.ts';
import { GenerationConfig } from './wire.ts';

const SEARCH = { num_beams: 4, length_penalty: 0.5, repetition_penalty: 1.2, n: 3 };
const SAMPLING = { temperature: 0.7, top_p: 0.9, top_k: 50, n: 2 };

describe('what a checkpoint says of how it writes', () => {
  type Parameters = GenerationDefaults & { max_tokens?: number };
  it.each<[string, GenerationDefaults, Parameters, Parameters]>([
    ['nothing', {}, { top_p: 0.5 }, { top_p: 0.5 }],
    ['a search, and nothing is asked for', SEARCH, {}, SEARCH],
    ['a search, and another is asked for', SEARCH, { num_beams: 5 }, { ...SEARCH, num_beams: 5 }],
    [
      'a search, and fewer beams than its texts',
      SEARCH,
      { num_beams: 2 },
      { num_beams: 2, length_penalty: 0.5, repetition_penalty: 1.2 },
    ],
    [
      'a search, and sampling is asked for',
      SEARCH,
      { temperature: 1 },
      { temperature: 1, length_penalty: 0.5, repetition_penalty: 1.2, n: 3 },
    ],
    [
      'a search, and no search is asked for',
      SEARCH,
      { num_beams: 1 },
      { num_beams: 1, length_penalty: 0.5, repetition_penalty: 1.2 },
    ],
    ['sampling, and nothing is asked for', SAMPLING, {}, SAMPLING],
    ['sampling, and a search is asked for', SAMPLING, { num_beams: 3 }, { num_beams: 3, n: 2 }],
    [
      'sampling, and greedy is asked for',
      SAMPLING,
      { temperature: 0 },
      { temperature: 0, top_p: 0.9, top_k: 50 },
    ],
    [
      'a least length, and a shorter text is asked for',
      { min_tokens: 5 },
      { max_tokens: 3 },
      { min_tokens: 3, max_tokens: 3 },
    ],
    ['sampling, and a number of texts is asked for', SAMPLING, { n: 5 }, { ...SAMPLING, n: 5 }],
  ])('is %s', (_name, defaults, asked, expected) => {
    const merged = withDefaults(defaults, asked);
    expect(merged).toEqual(expected);
    expect(GenerationConfig.safeParse({ max_tokens: 9, ...merged }).success).toBe(true);
  });
});
