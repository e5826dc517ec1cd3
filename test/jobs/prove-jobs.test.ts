/** The short form of `npm run prove-jobs`: every item has one result, whatever is killed, lost or doubled meanwhile. */
import { expect, it } from 'vitest';
import { existingServer } from '../../tools/existing-job-queue.ts';
import { MAX_RECEIVES } from '../../tools/job-queue.ts';
import { proveFaults } from '../../tools/prove-jobs/prove-faults.ts';

const seed = Math.floor(Math.random() * 2 ** 32);

it(`a job adds up, and one that is canceled half way; seed ${seed}`, async () => {
  const { faults } = await proveFaults({
    ...{ items: 60, poison: 1, kills: 1, seed },
    maxReceives: MAX_RECEIVES,
    server: existingServer(process.env),
    visibilityS: 2,
    timeoutMs: 480_000,
    report: () => {},
  });
  expect(faults).toEqual([]);
}, 900_000);
