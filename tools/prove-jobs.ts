/**
 * `npm run prove-jobs`: every item of a job has exactly one result, whatever is killed, lost or doubled meanwhile; those who ask
 * hardly notice a job; and one of a million items needs no more memory than a small one.
 */
import { styleText } from 'node:util';
import { configure } from '@blip2/shared/config/configure';
import { markdownTable } from 'markdown-table';
import { MAX_RECEIVES } from './job-queue.ts';
import { PROVE_JOBS } from './programs.ts';
import { proveFaults } from './prove-jobs/prove-faults.ts';
import { statusLine } from './status-line.ts';

const ITEMS = 2000;
const HOUR_MS = 3_600_000;

const { values: config } = configure(PROVE_JOBS);
const seed = config.seed ?? Math.floor(Math.random() * 2 ** 32);
const line = statusLine();
const report = line.update;
console.log(`Seed ${seed}`);

const { faults, rows } = await proveFaults({
  items: config.items ?? ITEMS,
  poison: 2,
  kills: 8,
  maxReceives: MAX_RECEIVES,
  visibilityS: 5,
  seed,
  timeoutMs: HOUR_MS,
  report,
});
line.clear();
console.log(markdownTable([['what', 'value'], ...rows]));
for (const fault of faults) console.error(styleText('red', fault));
process.exit(faults.length === 0 ? 0 : 1);
