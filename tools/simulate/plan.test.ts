/** Plans of a small fleet. */
import { describe, expect, it } from 'vitest';
import { TARGET_MS, workersFor } from './plan.ts';
import { plan } from './testing/small-plan.ts';

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
