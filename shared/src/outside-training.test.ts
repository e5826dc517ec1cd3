import { expect, it } from 'vitest';
import { isOutsideTraining } from './outside-training.ts';

const STATISTICS = { weights: [1, -2], threshold: 3 };

it.each([
  [[7, 2, 7, 2], false],
  [[7.5, 2, 7, 2], true],
  [[9, 1, 5, 3], false],
  [[3, 0, 4, 0], true],
])(
  'an image is outside where the weighted mean of its queries is above the threshold: %j',
  (queries, isOutside) => {
    expect(isOutsideTraining(STATISTICS, Float32Array.from(queries))).toBe(isOutside);
  },
);
