import { describe, expect, it } from 'vitest';
import { itcScore, itmScore } from './retrieval-model.ts';

const { NaN: nan, POSITIVE_INFINITY: infinity } = Number;

describe('the score of ITM', () => {
  it.each([
    [0, 0, 0.5],
    [Math.log(3), 0, 0.25],
    [0, Math.log(3), 0.75],
    [3e38, -3e38, 0],
    [-3e38, 3e38, 1],
  ])('of logits %d for "no" and %d for "yes" is %d', (no, yes, score) => {
    expect(itmScore(Float32Array.of(no, yes))).toBeCloseTo(score, 6);
  });

  it.each([
    [infinity, 0],
    [0, infinity],
    [-infinity, 0],
    [0, -infinity],
    [nan, 0],
    [0, nan],
  ])('of logits %d and %d, which no model that works computes, is no number', (no, yes) => {
    expect(itmScore(Float32Array.of(no, yes))).toBeNaN();
  });
});

describe('the score of ITC', () => {
  const image = Float32Array.of(-0.6, 0.8, -0.8, -0.6);

  it('is the best dot product with the queries', () => {
    expect(itcScore(image, Float32Array.of(0, 1))).toBeCloseTo(0.8, 6);
    expect(itcScore(image, Float32Array.of(1, 0))).toBeCloseTo(-0.6, 6);
  });

  it.each([
    [infinity, 1],
    [infinity, infinity],
    [nan, 0],
    [0, nan],
  ])('with the text (%d, %d), which no model that works computes, is not finite', (a, b) => {
    expect(itcScore(image, Float32Array.of(a, b))).not.toSatisfy(Number.isFinite);
  });
});
