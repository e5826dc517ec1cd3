/** `npm run eval`: exact-match accuracy over the committed test scenes, or metrics of public data sets, through the API. */
import { Readable } from 'node:stream';
import { styleText } from 'node:util';
import type { ModelSettings } from '@blip2/gpu-worker/model-options';
import { configure } from '@blip2/shared/config/configure';
import type { Precision } from '@blip2/shared/precision';
import { markdownTable } from 'markdown-table';
import { expectOk } from './api.ts';
import { type Chosen, chooseDataset, evaluateDataset } from './eval/datasets/evaluate-dataset.ts';
import { spread } from './eval/datasets/run.ts';
import { Service } from './eval/datasets/service.ts';
import type { Outcome } from './eval/outcome.ts';
import { judgeImages, warningTable, wronglyJudged } from './eval/outside.ts';
import { precisionTables } from './eval/precision.ts';
import { examineScene } from './eval/scene-outcomes.ts';
import { percentRight, sceneTables, wrongOutcomes } from './eval/scene-report.ts';
import type { Stack } from './local-stack.ts';
import { EVAL } from './programs/evaluation.ts';
import { readScenes, type Scene } from './scenes.ts';
import { startOrExit } from './start-or-exit.ts';
import { statusLine } from './status-line.ts';

const { values: config } = configure(EVAL);

const line = statusLine();
if (config.url !== undefined) await expectApi(config.url);
const chosen = await orExit(() => chooseDataset(config));
if (chosen !== null) await evaluatePublic(chosen);
else if (config.outside !== undefined) await orExit(() => evaluateWarnings(config.outside ?? ''));
else if (config.precisions === undefined) printOutcomes(await evaluate(config.url));
else await compare(config.precisions);
process.exit(0);

/** A public data set, by its own metrics. */
async function evaluatePublic(asked: Chosen): Promise<void> {
  const { limit, concurrency } = config;
  let own: Stack | null = null;
  const start = async () => {
    if (config.url !== undefined) return new Service(config.url);
    own = await startOrExit({ model: config }, line);
    return new Service(own.url);
  };
  const evaluation = () =>
    evaluateDataset(asked, { start, limit, concurrency, line }).finally(() => own?.stop());
  const report = await orExit(evaluation);
  for (const table of report.tables) console.log(`${markdownTable(table)}\n`);
  for (const note of report.notes) console.log(note);
}

/** How many images are warned about, foreign ones and scenes. */
async function evaluateWarnings(folder: string): Promise<void> {
  const own = config.url === undefined ? await startOrExit({ model: config }, line) : null;
  try {
    const { limit } = config;
    const judged = await judgeImages(own?.url ?? config.url ?? '', { folder, limit }, (at, total) =>
      line.update(`Evaluating: ${at} of ${total} images`),
    );
    line.clear();
    console.log(`${markdownTable(warningTable(judged), { align: ['l', 'r', 'r'] })}\n`);
    if (config.failures) for (const text of wronglyJudged(judged)) console.log(text);
  } finally {
    await own?.stop();
  }
}

/** Ends this process with 1 for what the user can mend, or the API refuses. */
async function orExit<T>(task: () => T | Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (error) {
    line.clear();
    console.error(styleText('red', error instanceof Error ? error.message : String(error)));
    process.exit(1);
  }
}

/** Ends this process with 1 when there is no healthy API at the address. */
async function expectApi(url: string): Promise<void> {
  try {
    await expectOk(await fetch(`${url}/healthz`));
  } catch (error) {
    const { message, cause } = error as Error;
    const why = cause instanceof Error && cause.message !== '' ? cause.message : message;
    console.error(styleText('red', `There is no API that can answer at ${url}: ${why}`));
    process.exit(1);
  }
}

const COMPARED: readonly Outcome['kind'][] = ['caption', 'answer', 'turn'];

/** The same scenes in several precisions: what fewer bits cost. */
async function compare(precisions: readonly Precision[]): Promise<void> {
  const rows: string[][] = [];
  for (const precision of precisions) {
    const outcomes = await evaluate(undefined, { ...config, precision });
    const of = (wanted: Outcome['kind']) =>
      percentRight(outcomes.filter(({ kind }) => kind === wanted));
    const compared = outcomes.filter(({ kind }) => COMPARED.includes(kind));
    rows.push([precision, of('caption'), of('answer'), of('turn'), percentRight(compared)]);
  }
  const head = ['precision', 'captions, exact', 'answers, exact', 'in conversations', 'all'];
  console.log(`${markdownTable([head, ...rows])}\n`);
  line.update('Comparing with fp32 on the random checkpoints …');
  const against = await precisionTables(precisions);
  line.clear();
  for (const table of against) console.log(`${markdownTable(table)}\n`);
}

/** @param running URL of an API; starts one of `model` where there is none */
async function evaluate(
  running: string | undefined,
  model: ModelSettings = config,
): Promise<Outcome[]> {
  const own = running === undefined ? await startOrExit({ model }, line) : null;
  const url = running ?? own?.url ?? '';
  try {
    const all = (await Promise.all(config.artists.map((set) => readScenes(set)))).flat();
    const scenes = spread(all, config.limit);
    let finished = 0;
    const outcomes = await Readable.from(scenes)
      .map(
        async (scene: Scene) => {
          const result = await examineScene(url, scene, scenes.indexOf(scene));
          line.update(`Evaluating: ${++finished} of ${scenes.length} scenes`);
          return result;
        },
        { concurrency: 4 },
      )
      .toArray();
    line.clear();
    return outcomes.flat();
  } finally {
    await own?.stop();
  }
}

function printOutcomes(outcomes: readonly Outcome[]): void {
  for (const table of sceneTables(outcomes)) console.log(`${markdownTable(table)}\n`);
  if (config.failures) for (const text of wrongOutcomes(outcomes)) console.log(text);
}
