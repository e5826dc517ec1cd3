import { GenerationConfig } from '@blip2/shared/wire';
import { describe, expect, it } from 'vitest';
import { BeamSearch } from './beam-search.ts';

const EOS = 0;

function search(setting: Partial<GenerationConfig>, promptIds: number[] = []): BeamSearch {
  const config = GenerationConfig.parse({ max_tokens: 8, num_beams: 2, ...setting });
  return new BeamSearch({ config, promptIds, eosIds: [EOS] });
}

/** Logits of a sequence, from the probabilities of tokens 0 … 3. */
const logits = (...probabilities: number[]) => Float32Array.from(probabilities, Math.log);

const idsOf = ({ tokens }: { tokens: { id: number }[] }) => tokens.map(({ id }) => id);

describe('a step of the search', () => {
  it('continues the prompt with the likeliest tokens, and emits none of them', () => {
    const output = search({}).advance([logits(0.1, 0.5, 0.3, 0.1)]);
    expect(output).toEqual({
      emitted: [],
      next: [
        { parent: 0, token: 1 },
        { parent: 0, token: 2 },
      ],
    });
  });

  it('drops a beam when another has two likelier continuations', () => {
    const beams = search({});
    beams.advance([logits(0.1, 0.5, 0.3, 0.1)]);
    const { next } = beams.advance([
      logits(0.25, 0.25, 0.25, 0.25),
      logits(0.01, 0.01, 0.49, 0.49),
    ]);
    expect(next).toEqual([
      { parent: 1, token: 2 },
      { parent: 1, token: 3 },
    ]);
  });

  it('prefers the earlier beam and the lower token among equals', () => {
    const beams = search({});
    expect(beams.advance([logits(0.1, 0.3, 0.3, 0.3)]).next.map(({ token }) => token)).toEqual([
      1, 2,
    ]);
    const even = () => logits(0.1, 0.3, 0.3, 0.3);
    expect(beams.advance([even(), even()]).next).toEqual([
      { parent: 0, token: 1 },
      { parent: 0, token: 2 },
    ]);
  });

  it('still has all its beams when one ends', () => {
    const beams = search({});
    beams.advance([logits(0.1, 0.5, 0.3, 0.1)]);
    const { next } = beams.advance([logits(0.9, 0.05, 0.03, 0.02), logits(0.1, 0.8, 0.05, 0.05)]);
    expect(next).toEqual([
      { parent: 1, token: 1 },
      { parent: 0, token: 1 },
    ]);
  });

  it('applies the logits processors to prompt and beam', () => {
    const beams = search({ no_repeat_ngram_size: 1, min_tokens: 1 }, [1]);
    expect(beams.advance([logits(0.5, 0.4, 0.06, 0.04)]).next).toEqual([
      { parent: 0, token: 2 },
      { parent: 0, token: 3 },
    ]);
  });
});

describe('the end of the search', () => {
  it('comes at max_tokens, with the best n choices first', () => {
    const beams = search({ max_tokens: 2, n: 2 });
    beams.advance([logits(0.1, 0.5, 0.3, 0.1)]);
    const { emitted, next } = beams.advance([
      logits(0.1, 0.4, 0.3, 0.2),
      logits(0.02, 0.02, 0.95, 0.01),
    ]);
    expect(next).toEqual([]);
    expect(emitted.map(idsOf)).toEqual([
      [2, 2],
      [1, 1],
    ]);
    expect(beams.choices.map(({ finishReason }) => finishReason)).toEqual(['length', 'length']);
    expect(beams.choices[0]!.score).toBeCloseTo(Math.log(0.3 * 0.95) / 2, 6);
    expect(beams.choices[1]!.score).toBeCloseTo(Math.log(0.5 * 0.4) / 2, 6);
  });

  it('counts an end token in the length, and does not emit it', () => {
    const beams = search({ early_stopping: true });
    beams.advance([logits(0.1, 0.5, 0.3, 0.1)]);
    const { emitted, next } = beams.advance([
      logits(0.97, 0.01, 0.01, 0.01),
      logits(0.97, 0.01, 0.01, 0.01),
    ]);
    expect(next).toEqual([]);
    expect(emitted.map(idsOf)).toEqual([[1]]);
    expect(beams.choices).toMatchObject([{ finishReason: 'stop', completionTokens: 1 }]);
    expect(beams.choices[0]!.score).toBeCloseTo(Math.log(0.5 * 0.97) / 2, 6);
  });

  // Two hypotheses are finished after two steps; the best running beam is worse than both by then.
  it.each<[string, Partial<GenerationConfig>, boolean]>([
    ['at once with early_stopping', { early_stopping: true }, true],
    ['when no running beam can be better than the worst finished one', {}, true],
    [
      'later when a long text may still win and early_stopping is never',
      { early_stopping: 'never', length_penalty: 5 },
      false,
    ],
  ])('comes %s', (_name, setting, isOver) => {
    const beams = search(setting);
    beams.advance([logits(0.1, 0.5, 0.3, 0.1)]);
    const { next } = beams.advance([logits(0.9, 0.04, 0.03, 0.03), logits(0.9, 0.04, 0.03, 0.03)]);
    expect(next.length === 0).toBe(isOver);
  });

  it.each([
    ['short', 0, [1]],
    ['long', 4, [2, 2, 3]],
  ])('prefers a %s hypothesis with a length penalty of %d', (_name, length_penalty, best) => {
    const beams = search({ max_tokens: 3, length_penalty });
    beams.advance([logits(0.05, 0.5, 0.4, 0.05)]);
    // The first beam ends here with 0.5 × 0.9, the second reaches 0.4 × 0.9 × 0.97.
    beams.advance([logits(0.9, 0.05, 0.03, 0.02), logits(0.03, 0.02, 0.9, 0.05)]);
    const { emitted } = beams.advance([
      logits(0.01, 0.01, 0.01, 0.97),
      logits(0.25, 0.25, 0.25, 0.25),
    ]);
    expect(emitted.map(idsOf)).toEqual([best]);
  });
});

describe('log-probabilities', () => {
  it('of the emitted tokens add up to the score of their choice', () => {
    const beams = search({ max_tokens: 2, length_penalty: 0, logprobs: true, top_logprobs: 1 });
    beams.advance([logits(0.1, 0.5, 0.3, 0.1)]);
    const { emitted } = beams.advance([logits(0.1, 0.6, 0.2, 0.1), logits(0.1, 0.3, 0.3, 0.3)]);
    const scored = emitted[0]!.tokens.map((token) => token.scored!);
    expect(scored.map(({ top }) => top[0]!.id)).toEqual([1, 1]);
    const sum = scored.reduce((total, { logprob }) => total + logprob, 0);
    expect(sum).toBeCloseTo(beams.choices[0]!.score!, 6);
  });
});

describe('finite logits', () => {
  it.each<[string, Partial<GenerationConfig>]>([
    ['a penalty that makes them huge', { repetition_penalty: 100 }],
    ['a length penalty that divides by almost nothing', { length_penalty: -10 }],
    ['forbidden tokens that have to be taken', { no_repeat_ngram_size: 1 }],
  ])('give finite scores under %s', (_name, setting) => {
    const beams = search(
      { ...setting, n: 2, max_tokens: 6, min_tokens: 6, logprobs: true },
      [1, 2],
    );
    const values = () => Float32Array.of(-3e38, 3e38, -3e38, 0);
    let step = beams.advance([values()]);
    for (let i = 0; step.next.length > 0 && i < 9; i++) step = beams.advance(step.next.map(values));
    expect(step.emitted).toHaveLength(2);
    for (const { score } of beams.choices) expect(Number.isFinite(score)).toBe(true);
    for (const { tokens } of step.emitted) {
      for (const { scored } of tokens) expect(Number.isFinite(scored?.logprob)).toBe(true);
    }
  });
});
