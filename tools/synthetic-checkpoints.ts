/** `npm run synthetic-checkpoint`: writes a checkpoint as large as a published one, of random weights. */
import { join } from 'node:path';
import { styleText } from 'node:util';
import { configure } from '@blip2/shared/config/configure';
import { nearest } from '@blip2/shared/config/nearest';
import { ROOT } from './prepare-edge.ts';
import { SYNTHETIC_CHECKPOINT } from './programs/maintenance.ts';
import { statusLine } from './status-line.ts';
import { FULL_SIZES, type FullSizeName } from './synthetic-checkpoints/checkpoints.ts';
import { writeCheckpoint } from './synthetic-checkpoints/write.ts';

const NAMES = Object.keys(FULL_SIZES) as FullSizeName[];

const {
  values: { out },
  positionals,
} = configure(SYNTHETIC_CHECKPOINT);
const name = NAMES.find((known) => known === positionals[0]);
if (name === undefined) {
  console.error(refusalOf(positionals[0]));
  process.exit(1);
}
const folder = out ?? join(ROOT, '.models', `random-${name}`);
const line = statusLine();
await writeCheckpoint(FULL_SIZES[name](), folder, 'random', (done, total) =>
  line.update(
    `Writing ${name}: ${Math.floor((100 * done) / total)} % of ${(total / 1e9).toFixed(1)} GB`,
  ),
);
line.clear();
console.log(`${styleText('bold', folder)}`);

function refusalOf(given: string | undefined): string {
  if (given === undefined) return `Its argument, a name, is missing: ${NAMES.join(', ')}.`;
  const meant = nearest(given, NAMES);
  const advice = meant === undefined ? `Names: ${NAMES.join(', ')}.` : `Did you mean ${meant}?`;
  return `Unknown name "${given}". ${advice}`;
}
