/** Plans of a fleet as tables and images. Images are drawn here: beside the code, the decoders' tests forbid sharp to read SVG. */
import { stat } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { spot, surge } from '../../tools/simulate/plan.ts';
import { planTables } from '../../tools/simulate/plan-tables.ts';
import { drawPlots, planPlots } from '../../tools/simulate/plots.ts';
import { plan } from '../../tools/simulate/testing/small-plan.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const folder = temporaryFolder();

it('a plan shows what a surge, and what lost machines do, as tables and images', async () => {
  const scaling = {
    least: 2,
    most: 8,
    target: 16,
    step: 4,
    everyMs: 5000,
    delayMs: 10_000,
    calmMs: 60_000,
  };
  const shape = { rate: 15, factor: 3, beforeS: 20, surgeS: 60, workers: 2 };
  const grown = surge(plan, shape, scaling);
  expect(grown.points.at(-1)?.workers).toBeGreaterThan(2);
  const losses = { rate: 30, workers: 6, seconds: 60, lifeMs: 60_000, replaceMs: 5000 };
  const outcome = spot(plan, losses);
  expect(outcome.lost).toBeGreaterThan(0);
  const result = {
    plan,
    capacities: [
      { fresh: 0.3, rate: 10, workers: 2, p95: 200, hitRatio: 0.6 },
      { fresh: 0.3, rate: 100, workers: 12, p95: 400, hitRatio: 0.6 },
    ],
    spots: [{ hours: 1, outcome }],
    surges: [{ delay: 10, ...grown }],
  };
  expect(planTables(result)).toContain('| 100               |');
  const paths = await drawPlots(folder, planPlots(result));
  expect(paths).toHaveLength(4);
  for (const path of paths) expect((await stat(path)).size).toBeLessThan(150_000);
});
