/**
 * `npm run prove-jobs`: every item of a job has exactly one result, whatever is killed, lost or doubled meanwhile; those who ask
 * hardly notice a job; and one of a million items needs no more memory than a small one.
 */
import { styleText } from 'node:util';
import { configure } from '@blip2/shared/config/configure';
import { markdownTable } from 'markdown-table';
import { existingServer } from './existing-job-queue.ts';
import { MAX_RECEIVES } from './job-queue.ts';
import { PROVE_JOBS } from './programs/faults.ts';
import { proveFaults } from './prove-jobs/prove-faults.ts';
import { proveInteractive, quantile } from './prove-jobs/prove-interactive.ts';
import { proveMillion } from './prove-jobs/prove-million.ts';
import { statusLine } from './status-line.ts';

const ITEMS = 2000;
const MANY = 1_000_000;
const HOUR_MS = 3_600_000;
/** Of times to first token while a job runs, and on an idle service. */
const MOST_RATIO = 1.5;

const { values: config } = configure(PROVE_JOBS);
const seed = config.seed ?? Math.floor(Math.random() * 2 ** 32);
const line = statusLine();
const report = line.update;
console.log(`Seed ${seed}`);

const faults: string[] = [];
if (config.million) faults.push(...(await proveManyItems()));
else if (!config.interactive) faults.push(...(await proveThatAllAddsUp()));
if (!config.million) faults.push(...(await proveThatNobodyNotices()));
for (const fault of faults) console.error(styleText('red', fault));
process.exit(faults.length === 0 ? 0 : 1);

async function proveThatAllAddsUp(): Promise<string[]> {
  const { faults: found, rows } = await proveFaults({
    items: config.items ?? ITEMS,
    poison: 2,
    kills: 8,
    maxReceives: MAX_RECEIVES,
    visibilityS: 5,
    seed,
    server: existingServer(process.env),
    timeoutMs: HOUR_MS,
    report,
  });
  line.clear();
  console.log(`${markdownTable([['what', 'value'], ...rows])}\n`);
  return found;
}

async function proveThatNobodyNotices(): Promise<string[]> {
  const plan = { rate: 3, seconds: 15, turns: 8 };
  const { idle, busy, failures, itemsPerSecond } = await proveInteractive({
    ...plan,
    seed,
    report,
  });
  line.clear();
  const found = failures.map((failure) => `A question failed: ${failure}`);
  const rows = (['by hash', 'new image'] as const).flatMap((kind) =>
    ([0.5, 0.95] as const).map((share) => {
      const [alone, beside] = [idle, busy].map((waits) => quantile(waits[kind], share) ?? 0);
      const ratio = (beside ?? 0) / (alone ?? 1);
      if (ratio > MOST_RATIO) {
        found.push(`p${100 * share} ${kind} is ${ratio.toFixed(2)} times that of an idle service.`);
      }
      const ms = (value = 0) => `${value.toFixed(0)} ms`;
      return [`${kind}, p${100 * share}`, ms(alone), ms(beside), `${ratio.toFixed(2)} ×`];
    }),
  );
  const head = ['time to first token', 'idle', 'while a job runs', 'ratio'];
  console.log(markdownTable([head, ...rows]));
  const count = busy['by hash'].length + busy['new image'].length;
  console.log(`${itemsPerSecond.toFixed(1)} items a second beside ${count} questions.`);
  return found;
}

async function proveManyItems(): Promise<string[]> {
  const items = config.items ?? MANY;
  const { phases, memory, processor, state, lines } = await proveMillion({
    items,
    report,
    timeoutMs: 10 * HOUR_MS,
  });
  line.clear();
  const rows = phases.map(({ phase, seconds }) => {
    const megabytes = (what: 'edge' | 'queue') => {
      const used = memory.of(phase, what);
      return used === null ? '' : `${used.first.toFixed(0)} → ${used.last.toFixed(0)}`;
    };
    const rate = (items / seconds).toFixed(0);
    return [phase, seconds.toFixed(1), rate, megabytes('edge'), megabytes('queue')];
  });
  const head = ['phase', 'seconds', 'items a second', 'workerd, MB', 'queue and this, MB'];
  console.log(markdownTable([head, ...rows]));
  const [edge, queue, standIn] = [processor.edge, processor.queue, processor.standIn].map((ms) =>
    ms.toFixed(2),
  );
  console.log(
    `Processor time of the run, ms an item: workerd ${edge}, queue and this ${queue}, stand-in for the GPU worker ${standIn}.`,
  );
  const { completed, failed, canceled, total } = state.items;
  const counts = `${total} = ${completed} + ${failed} + ${canceled}, ${lines} lines`;
  console.log(counts);
  const isWhole = completed === items && lines === items && state.status === 'completed';
  return isWhole ? [] : [`Not every item has its line: ${counts}.`];
}
