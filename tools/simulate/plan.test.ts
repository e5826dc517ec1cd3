/** Plans of a small fleet. */
import { describe, expect, it } from 'vitest';
import { assumedTimes, L4 } from './assumed-card.ts';
import { type Plan, TARGET_MS, workersFor } from './plan.ts';

const plan: Plan = {
  times: assumedTimes(L4),
  worker: {
    maxSlots: 16,
    reserveSlots: 16,
    chunkTokens: 64,
    queueLimit: 64,
    decoders: 2,
    prefixImages: 18,
  },
  seed: 1,
  tokens: 20,
  images: 1000,
  skew: 1,
  cached: 500,
  fresh: 0.3,
};

describe('a plan', () => {
  it('has as many workers as hold the target, wherever the search begins', () => {
    const [fromBelow, fromAbove] = [workersFor(plan, 30, 1), workersFor(plan, 30, 12)];
    expect(fromBelow.p95).toBeLessThanOrEqual(TARGET_MS);
    expect(Math.abs(fromBelow.workers - fromAbove.workers)).toBeLessThanOrEqual(1);
  });

  it('needs more workers where fewer images are cached', () => {
    const workers = [0.05, 0.95].map((fresh) => workersFor({ ...plan, fresh }, 60, 6).workers);
    expect(workers[1]).toBeGreaterThan(workers[0]!);
  });
});
