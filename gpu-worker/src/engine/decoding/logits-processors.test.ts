import { describe, expect, it } from 'vitest';
import {
  applyLogitsProcessors,
  argmax,
  bannedTokens,
  largest,
  logprobsOf,
  toLogProbabilities,
} from './logits-processors.ts';

const logits = (...values: number[]) => Float32Array.from(values);
const none = {
  repetition_penalty: 1,
  frequency_penalty: 0,
  presence_penalty: 0,
  no_repeat_ngram_size: 0,
  min_tokens: 0,
};
const context = { tokenIds: [], generated: 0, eosIds: [0] };

describe('the largest values', () => {
  it('come with the first of equals first', () => {
    expect(argmax(logits(1, 5, 5, 2))).toBe(1);
    expect(largest(logits(1, 5, 5, 2, 7), 3)).toEqual([4, 1, 2]);
    expect(largest(logits(1, 5), 3)).toEqual([1, 0]);
    expect(largest(logits(1, 5), 0)).toEqual([]);
  });

  it('are those of a full sort', () => {
    const values = Float32Array.from({ length: 500 }, (_, i) => Math.sin(i * i));
    const sorted = [...values.keys()].sort((a, b) => values[b]! - values[a]!);
    expect(largest(values, 40)).toEqual(sorted.slice(0, 40));
  });
});

describe('log-probabilities', () => {
  it('add up to one, however large the logits are', () => {
    const values = logits(1000, 999, -1000);
    toLogProbabilities(values);
    expect(values.reduce((sum, value) => sum + Math.exp(value), 0)).toBeCloseTo(1, 5);
  });

  it('are returned only when requested, as they were before processing', () => {
    const values = logits(0, Math.log(3));
    expect(logprobsOf(values, { logprobs: false, top_logprobs: 0 })(1)).toBeUndefined();
    const logprobs = logprobsOf(values, { logprobs: true, top_logprobs: 1 });
    values.fill(0);
    expect(logprobs(0)!.logprob).toBeCloseTo(Math.log(0.25), 5);
    expect(logprobs(0)!.top[0]!.id).toBe(1);
    expect(logprobs(0)!.top[0]!.logprob).toBeCloseTo(Math.log(0.75), 5);
  });
});

describe('repetition penalty', () => {
  it.each([
    ['divides a positive logit of a present token', logits(4, 3), [0], [2, 3]],
    ['multiplies a negative logit of a present token', logits(-2, -3), [0], [-4, -3]],
    ['counts a token once however often it is present', logits(4, 1.5), [0, 0, 0], [2, 1.5]],
    ['leaves absent tokens alone', logits(4, 3), [1], [4, 1.5]],
    ['ignores ids outside the vocabulary', logits(4, 3), [9], [4, 3]],
  ])('%s', (_name, values, tokenIds, expected) => {
    applyLogitsProcessors(values, { ...none, repetition_penalty: 2 }, { ...context, tokenIds });
    expect([...values]).toEqual(expected);
  });
});

describe('frequency and presence penalties', () => {
  const text = { ...context, tokenIds: [1, 0, 0, 9], generated: 3 };

  it.each([
    ['subtract for each time a token was generated', { frequency_penalty: 0.5 }, [3, 3]],
    ['subtract once for a token that was generated', { presence_penalty: 0.5 }, [3.5, 3]],
    ['add up', { frequency_penalty: 0.5, presence_penalty: -2 }, [5, 3]],
  ])('%s, and leave the prompt alone', (_name, penalties, expected) => {
    const values = logits(4, 3);
    applyLogitsProcessors(values, { ...none, ...penalties }, text);
    expect([...values]).toEqual(expected);
  });
});

describe('repeated n-grams', () => {
  it.each<[number[], number, number[]]>([
    [[1, 2, 3, 1, 2], 3, [3]],
    [[1, 2, 1, 3, 1], 2, [2, 3]],
    [[4, 5], 1, [4, 5]],
    [[1, 2], 3, []],
    [[], 2, []],
  ])('after %j of size %i may not end with %j', (tokenIds, size, expected) => {
    expect(bannedTokens(tokenIds, size)).toEqual(expected);
  });
});

describe('the least length', () => {
  it('forbids the end tokens until it is reached', () => {
    const values = logits(9, 1);
    applyLogitsProcessors(values, { ...none, min_tokens: 2 }, { ...context, generated: 2 });
    expect(values[0]).toBe(9);
    applyLogitsProcessors(values, { ...none, min_tokens: 2 }, { ...context, generated: 1 });
    expect(values[0]).toBe(Number.NEGATIVE_INFINITY);
  });
});

describe('where nothing may be generated', () => {
  const rules = { ...none, no_repeat_ngram_size: 1 };

  it('the n-gram rule yields, and the least length stays', () => {
    const values = logits(9, 1, 2);
    const isShort = { ...rules, min_tokens: 5 };
    applyLogitsProcessors(values, isShort, { ...context, tokenIds: [1, 2, 1] });
    expect([...values]).toEqual([Number.NEGATIVE_INFINITY, 1, 2]);
  });

  it('the n-gram rule stays while it leaves one token', () => {
    const values = logits(9, 1, 2);
    applyLogitsProcessors(values, rules, { ...context, tokenIds: [0, 1] });
    expect([...values]).toEqual([Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY, 2]);
  });
});

describe('numbers at the ends of float32', () => {
  const LARGEST = Math.fround(3.4028234663852886e38);

  it('remain finite under a penalty', () => {
    const values = logits(3e38, -3e38, 1);
    applyLogitsProcessors(
      values,
      { ...none, repetition_penalty: 0.01 },
      { ...context, tokenIds: [0] },
    );
    applyLogitsProcessors(
      values,
      { ...none, repetition_penalty: 100 },
      { ...context, tokenIds: [1] },
    );
    expect([...values]).toEqual([LARGEST, -LARGEST, 1]);
  });

  it('have finite log-probabilities', () => {
    const values = logits(3e38, -3e38);
    toLogProbabilities(values);
    expect([...values]).toEqual([0, -LARGEST]);
  });
});
