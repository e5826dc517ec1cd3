/** `npm run synthetic-checkpoint`: writes a checkpoint as large as a published one, of random weights. */
import { join } from 'node:path';
import { parseArgs, styleText } from 'node:util';
import { ROOT } from './prepare-edge.ts';
import { statusLine } from './status-line.ts';
import { FULL_SIZES, type FullSizeName } from './synthetic-checkpoints/checkpoints.ts';
import { writeCheckpoint } from './synthetic-checkpoints/write.ts';

const NAMES = Object.keys(FULL_SIZES) as FullSizeName[];

const HELP = `Usage: npm run synthetic-checkpoint -- <name> [--out FOLDER]

Writes a checkpoint with the names and shapes of a published one and random bf16 weights, to measure with:
${NAMES.join(', ')}.

  --out FOLDER   where to (.models/random-<name>); 2 to 25 GB

Then:  npm run model -- build .models/random-opt-2.7b
       BLIP2_CHECKPOINT=.models/random-opt-2.7b npm start
`;

const { values, positionals } = parseArgs({
  options: { out: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  allowPositionals: true,
});
const name = NAMES.find((known) => known === positionals[0]);
if (values.help || name === undefined) {
  console.log(HELP);
  process.exit(values.help ? 0 : 1);
}
const folder = values.out ?? join(ROOT, '.models', `random-${name}`);
const line = statusLine();
await writeCheckpoint(FULL_SIZES[name](), folder, 'random', (done, total) =>
  line.update(
    `Writing ${name}: ${Math.floor((100 * done) / total)} % of ${(total / 1e9).toFixed(1)} GB`,
  ),
);
line.clear();
console.log(`${styleText('bold', folder)}`);
