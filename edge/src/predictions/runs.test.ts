/** What the predictions of one caller have in memory. */
import { expect, it } from 'vitest';
import type { StoredPrediction } from './contract.ts';
import { Run } from './run.ts';
import { Runs } from './runs.ts';

it('the image of one that was canceled counts until the work for it is over', async () => {
  const runs = new Runs();
  const prediction = { id: 'a', endedAt: null } as StoredPrediction;
  const parts = { fingerprint: '', bytes: 10, number: 0, requestId: '' };
  const run = new Run(prediction, parts, { now: () => 0, onEnd: () => {} });
  runs.add(run);
  const work = Promise.withResolvers<void>();
  const during = runs.during(run, work.promise);
  run.cancel();
  runs.delete('a');
  expect(run.hasEnded).toBe(true);
  expect(runs.refusal(1, 10)).toMatchObject({ slug: 'too-many-requests' });
  work.resolve();
  await during;
  expect(runs.refusal(1, 10)).toBeUndefined();
});
