/** `npm run eval`: exact-match accuracy over the committed test scenes, through the running API. */
import { Readable } from 'node:stream';
import { styleText } from 'node:util';
import type { ModelSettings } from '@blip2/gpu-worker/model-options';
import type { Precision } from '@blip2/shared/bundle-manifest';
import { configure } from '@blip2/shared/config/configure';
import { AnswerReply } from '@blip2/shared/schemas/answers';
import { CaptionReply } from '@blip2/shared/schemas/captions';
import { markdownTable } from 'markdown-table';
import { expectOk, postJson } from './api.ts';
import { precisionTables } from './eval/precision.ts';
import { EVAL } from './programs.ts';
import { readImage, readScenes, type Scene } from './scenes.ts';
import { startOrExit } from './start-or-exit.ts';
import { statusLine } from './status-line.ts';

const { values: config } = configure(EVAL);

/** `kind` of text, and what it is grouped by. */
type Outcome = {
  scene: Scene;
  kind: 'caption' | 'answer' | 'turn';
  group: string;
  prompt: string;
  expected: string;
  got: string;
};

/** Questions of a conversation: each is sent with the earlier ones and their answers. */
const TURNS = 6;

const line = statusLine();
if (config.url !== undefined) await expectApi(config.url);
if (config.precisions === undefined) report(await evaluate(config.url));
else await compare(config.precisions);
process.exit(0);

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

/** The same scenes in several precisions: what fewer bits cost. */
async function compare(precisions: readonly Precision[]): Promise<void> {
  const rows: string[][] = [];
  for (const precision of precisions) {
    const outcomes = await evaluate(undefined, { ...config, precision });
    const of = (wanted: Outcome['kind']) => percent(outcomes.filter(({ kind }) => kind === wanted));
    rows.push([precision, of('caption'), of('answer'), of('turn'), percent(outcomes)]);
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
    const limit = Math.min(config.limit ?? all.length, all.length);
    const scenes = Array.from(
      { length: limit },
      (_, i) => all[Math.floor((i * all.length) / limit)]!,
    );
    let finished = 0;
    const outcomes = await Readable.from(scenes)
      .map(
        async (scene: Scene) => {
          const result = await examine(url, scene);
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

async function examine(url: string, scene: Scene): Promise<Outcome[]> {
  const bytes = await readImage(scene);
  const response = await fetch(`${url}/v1/captions`, {
    method: 'POST',
    headers: { 'content-type': 'image/webp' },
    body: bytes,
  });
  const { caption } = CaptionReply.parse(await (await expectOk(response)).json());
  const captions = { kind: 'caption', group: scene.layout, prompt: '' } as const;
  const outcomes: Outcome[] = [{ scene, ...captions, expected: scene.caption, got: caption }];
  // Not by hash: for InstructBLIP each question is another look at the image.
  const image = { data: Buffer.from(bytes).toString('base64') };
  const ask = async (question: string, history: { question: string; answer: string }[]) => {
    const body = { image, question, history };
    return AnswerReply.parse(await postJson(`${url}/v1/answers`, body)).answer;
  };
  for (const { type: group, question, answer } of scene.questions) {
    const got = await ask(question, []);
    outcomes.push({ scene, kind: 'answer', group, prompt: question, expected: answer, got });
  }
  const history: { question: string; answer: string }[] = [];
  for (const { question, answer } of scene.questions.slice(0, TURNS)) {
    const got = await ask(question, history);
    const group = `after ${history.length} ${history.length === 1 ? 'other' : 'others'}`;
    const turn = { kind: 'turn', group, prompt: question } as const;
    // The first is a question like any other.
    if (history.length > 0) outcomes.push({ scene, ...turn, expected: answer, got });
    history.push({ question, answer: got });
  }
  return outcomes;
}

function report(outcomes: Outcome[]): void {
  const artists = [...new Set(outcomes.map(({ scene }) => scene.artist))].sort();
  const row = (name: string, rows: Outcome[]) => [
    name,
    percent(rows),
    ...artists.map((artist) => percent(rows.filter(({ scene }) => scene.artist === artist))),
    String(rows.length),
  ];
  const table = (title: string, wanted: Outcome['kind']) => {
    const rows = outcomes.filter(({ kind }) => kind === wanted);
    const groups = Map.groupBy(rows, ({ group }) => group);
    const body = [...groups].map(([name, group]) => row(name, group));
    const head = [title, 'all', ...artists, 'n'];
    console.log(`${markdownTable([head, ...body, row('**all**', rows)])}\n`);
  };
  table('captions, exact', 'caption');
  table('answers, exact', 'answer');
  table('in a conversation', 'turn');
  if (!config.failures) return;
  for (const { scene, prompt, expected, got } of outcomes.filter((outcome) => !isRight(outcome))) {
    console.log(`${scene.file}  ${prompt || '(caption)'}  expected "${expected}", got "${got}"`);
  }
}

function isRight({ expected, got }: Outcome): boolean {
  return got.trim().toLowerCase() === expected.trim().toLowerCase();
}

function percent(rows: Outcome[]): string {
  if (rows.length === 0) return '–';
  return `${((100 * rows.filter(isRight).length) / rows.length).toFixed(1)} %`;
}
