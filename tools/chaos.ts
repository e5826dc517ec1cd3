/**
 * `npm run chaos`: breaks the real service (workerd, GPU worker, embedded model) in one way after another while callers of
 * every kind use it, and prints what they saw.
 *
 * Each scenario starts a service of its own, supervised as `npm start` does. Eight callers upload images, stream, ask by
 * hash and look embeddings up, each answer compared with one that is known to be right. Work is lost where a caller gets
 * neither an answer nor an error, or where what was stored is gone. Recovery is measured from the beginning of a fault that
 * ends by itself, else from its end, until an upload, a question and a look-up are answered rightly.
 */
import { styleText } from 'node:util';
import { configure } from '@blip2/shared/config/configure';
import { randomOf } from './chaos/random.ts';
import { faultsOf, tableOf } from './chaos/report.ts';
import { runScenario } from './chaos/run-scenario.ts';
import type { Result, Scenario } from './chaos/scenario.ts';
import { SCENARIOS } from './chaos/scenarios/index.ts';
import { CHAOS } from './programs/faults.ts';
import { statusLine } from './status-line.ts';

const { values: config } = configure(CHAOS);
if (config.list) {
  const width = Math.max(...SCENARIOS.map(({ name }) => name.length));
  for (const { name, about } of SCENARIOS) console.log(`${name.padEnd(width)}  ${about}`);
  process.exit(0);
}
const seed = config.seed ?? Math.floor(Math.random() * 2 ** 32);
const chosen = chooseOrExit(config.only);
const line = statusLine();
console.log(`Seed ${seed}`);

const results: Result[] = [];
for (const [index, scenario] of chosen.entries()) {
  const { name, about } = scenario;
  const head = `${index + 1}/${chosen.length} ${name}`;
  line.update(`${head}: ${about} …`);
  const report = (event: string) => line.update(`${head}: ${event}`);
  // Each has numbers of its own, whichever others run.
  const random = randomOf(seed + SCENARIOS.indexOf(scenario));
  results.push(await runScenario(scenario, random, report));
}
line.clear();
console.log(tableOf(results));
const faults = faultsOf(results);
for (const fault of faults) console.error(styleText('red', fault));
process.exit(faults.length === 0 ? 0 : 1);

function chooseOrExit(only: readonly string[] | undefined): readonly Scenario[] {
  if (only === undefined) return SCENARIOS;
  const unknown = only.filter((name) => !SCENARIOS.some((scenario) => scenario.name === name));
  if (unknown.length === 0) return SCENARIOS.filter(({ name }) => only.includes(name));
  console.error(`No scenario is called ${unknown.join(', ')}. See --list.`);
  process.exit(1);
}
