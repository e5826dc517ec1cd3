import { describe, expect, it } from 'vitest';
import {
  argmax,
  largest,
  process,
  repeating,
  scorer,
  toLogProbabilities,
} from './logits-processors.ts';

const logits = (...values: number[]) => Float32Array.from(values);
const none = { repetition_penalty: 1, no_repeat_ngram_size: 0, min_tokens: 0 };
const context = { seen: [], written: 0, eos: [0] };

describe('the largest values', () => {
  it('are found with the first of equals first', () => {
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

  it('are told only when asked for, as they were before processing', () => {
    const values = logits(0, Math.log(3));
    expect(scorer(values, { logprobs: false, top_logprobs: 0 })(1)).toBeUndefined();
    const score = scorer(values, { logprobs: true, top_logprobs: 1 });
    values.fill(0);
    expect(score(0)!.logprob).toBeCloseTo(Math.log(0.25), 5);
    expect(score(0)!.top[0]!.id).toBe(1);
    expect(score(0)!.top[0]!.logprob).toBeCloseTo(Math.log(0.75), 5);
  });
});

describe('repetition penalty', () => {
  it.each([
    ['divides a positive logit of a seen token', logits(4, 3), [0], [2, 3]],
    ['multiplies a negative logit of a seen token', logits(-2, -3), [0], [-4, -3]],
    ['counts a token once however often it was seen', logits(4, 1.5), [0, 0, 0], [2, 1.5]],
    ['leaves unseen tokens alone', logits(4, 3), [1], [4, 1.5]],
    ['passes over ids out of the vocabulary', logits(4, 3), [9], [4, 3]],
  ])('%s', (_name, values, seen, expected) => {
    process(values, { ...none, repetition_penalty: 2 }, { ...context, seen });
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
  ])('after %j of size %i may not end with %j', (seen, size, expected) => {
    expect(repeating(seen, size)).toEqual(expected);
  });
});

describe('the least length', () => {
  it('forbids the end tokens until it is reached', () => {
    const values = logits(9, 1);
    process(values, { ...none, min_tokens: 2 }, { ...context, written: 2 });
    expect(values[0]).toBe(9);
    process(values, { ...none, min_tokens: 2 }, { ...context, written: 1 });
    expect(values[0]).toBe(Number.NEGATIVE_INFINITY);
  });
});
