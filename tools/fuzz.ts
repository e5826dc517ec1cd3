/** `npm run fuzz`: gives made-up inputs to everything that reads bytes from outside, and keeps those that do harm. */
import { join, relative } from 'node:path';
import { styleText } from 'node:util';
import { progressBar } from '@blip2/gpu-worker/cli/progress-bar';
import { configure } from '@blip2/shared/config/configure';
import { markdownTable } from 'markdown-table';
import { campaign, replay } from './fuzz/campaign.ts';
import { keepInput } from './fuzz/input-file.ts';
import type { Report } from './fuzz/run-target.ts';
import type { AnyTarget } from './fuzz/target.ts';
import { TARGETS } from './fuzz/targets.ts';
import { ROOT } from './prepare-edge.ts';
import { FUZZ } from './programs/faults.ts';

const CORPUS = join(ROOT, 'test/fuzz/corpus');

const { values } = configure(FUZZ);
const only = new Set<string>(values.only);
const targets = TARGETS.filter(({ name }) => only.size === 0 || only.has(name));
process.exitCode = values.replay === undefined ? await run() : await again(values.replay);
process.exit();

async function run(): Promise<number> {
  const seed = values.seed ?? Math.floor(Math.random() * 2 ** 31);
  const { cases, minutes, verbose: isVerbose } = values;
  console.log(`Seed ${seed}: the same inputs come again with --seed ${seed} --cases ${cases}.`);
  using bar = progressBar('fuzz');
  const reports = await campaign(targets, {
    seed,
    cases,
    isVerbose,
    ...(minutes === undefined ? {} : { until: Date.now() + minutes * 60_000 }),
    onProgress: (done, label) => bar.draw({ done, total: cases, label }),
    onReport: async (target, report) => {
      for (const finding of report.findings) await tell(target, finding);
    },
  });
  bar[Symbol.dispose]();
  console.log(`\n${tableOf(reports)}`);
  return [...reports.values()].some(({ findings }) => findings.length > 0) ? 1 : 0;
}

async function tell({ name }: AnyTarget, finding: Report['findings'][number]): Promise<void> {
  const { violation, input, times } = finding;
  console.error(`\n${styleText('red', `${name} (${times} ×)`)} ${violation}`);
  if (input === undefined) return;
  const path = await keepInput(CORPUS, { target: name, violation, input });
  const file = relative(process.cwd(), path);
  console.error(`Stored as ${file}; again: npm run fuzz -- --replay ${file}`);
}

async function again(path: string): Promise<number> {
  const all = await replay(targets, path, values.verbose);
  for (const one of all) {
    const isBad = 'violation' in one;
    const said = isBad ? styleText('red', one.violation) : one.outcome;
    console.log(`${relative(process.cwd(), one.path)}: ${said}`);
  }
  return all.some((one) => 'violation' in one) ? 1 : 0;
}

/** A row for each target: its cases, its seconds, what came of them, what must not happen. */
function tableOf(reports: ReadonlyMap<AnyTarget, Report>): string {
  const rows = [...reports].map(([{ name }, { cases, seconds, outcomes, findings }]) => {
    const kinds = [...outcomes].sort(([, a], [, b]) => b - a);
    const said = kinds.map(([kind, count]) => `${count} × ${kind}`).join(', ');
    return [name, String(cases), seconds.toFixed(0), said, String(findings.length)];
  });
  const table = [['target', 'cases', 'seconds', 'outcomes', 'findings'], ...rows];
  return markdownTable(table, { align: ['l', 'r', 'r', 'l', 'r'] });
}
