/** Position embeddings are interpolated as in transformers (golden/make/retrieval_checkpoints.py). */
import { resizePositions } from '@blip2/gpu-worker/builder/graphs/position-embedding';
import { describe, expect, it } from 'vitest';
import { POSITION_GRIDS, readPositions } from '../../tools/eval/goldens.ts';
import { maxDifference } from '../support/difference.ts';

describe('a position embedding', () => {
  it.each(POSITION_GRIDS)('of %i patches a side is interpolated to %i as in torch', (from, to) => {
    const { learned, wanted } = readPositions(from, to);
    const width = learned.shape.at(-1)!;
    const resized = resizePositions(learned.values, { from, to, width });
    expect(maxDifference(resized, wanted.values)).toBeLessThan(1e-5);
    expect(resized.subarray(0, width)).toEqual(learned.values.subarray(0, width));
  });
});
