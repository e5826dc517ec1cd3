/** One evaluation on a public data set: which tasks each has, and which options go together. */
import { resolve } from 'node:path';
import type { Dataset } from '../../programs/evaluation.ts';
import { DatasetError } from './dataset-files.ts';
import { evaluateAnswers } from './evaluate-answers.ts';
import { evaluateCaptions } from './evaluate-captions.ts';
import { evaluateRetrieval } from './evaluate-retrieval.ts';
import type { Report, RunOptions } from './run.ts';

type Task = 'captions' | 'retrieval' | 'answers';

const TASKS: Record<Dataset, readonly [Task, ...Task[]]> = {
  coco: ['captions', 'retrieval'],
  nocaps: ['captions'],
  vqav2: ['answers'],
  okvqa: ['answers'],
  gqa: ['answers'],
  flickr30k: ['retrieval'],
};

/** What the command line says of a public data set. */
type Asked = {
  dataset?: Dataset | undefined;
  data?: string | undefined;
  task?: 'captions' | 'retrieval' | undefined;
  prompt?: string | undefined;
  replies?: string | undefined;
  /** Options of the test scenes. */
  precisions?: readonly string[] | undefined;
  failures?: boolean | undefined;
};

/** What is evaluated where: of the options of the command line. */
export type Chosen = {
  dataset: Dataset;
  task: Task;
  folder: string;
  repliesFolder: string;
  prompt: string | undefined;
};

/**
 * @returns null where no public data set is asked for
 * @throws DatasetError for options that do not go together
 */
export function chooseDataset(asked: Asked): Chosen | null {
  const { dataset, data, task, prompt, replies } = asked;
  if (dataset === undefined) {
    const stray = Object.entries({ data, task, prompt, replies }).find(([, value]) => value);
    if (stray === undefined) return null;
    throw new DatasetError(`--${stray[0]} is for public data sets: name one with --dataset.`);
  }
  if (asked.precisions !== undefined || asked.failures === true) {
    const flag = asked.failures === true ? '--failures' : '--precision';
    throw new DatasetError(`${flag} is for the test scenes: leave it out, or --dataset.`);
  }
  if (data === undefined) {
    throw new DatasetError(`--dataset ${dataset} needs the folder that holds it: --data FOLDER.`);
  }
  const tasks = TASKS[dataset];
  const [chosen] = task === undefined ? tasks : tasks.filter((each) => each === task);
  if (chosen === undefined) {
    throw new DatasetError(
      `--task ${task} is not for ${dataset}, which is for ${tasks.join(', ')}.`,
    );
  }
  if (chosen === 'retrieval' && prompt !== undefined) {
    throw new DatasetError('--prompt changes nothing about a retrieval: leave it out.');
  }
  const folder = resolve(data);
  return { dataset, task: chosen, folder, repliesFolder: resolve(replies ?? folder), prompt };
}

/** @throws DatasetError for what the user can mend; Error when the API refuses */
export function evaluateDataset(
  { dataset, task, ...chosen }: Chosen,
  options: Omit<RunOptions, keyof Chosen>,
): Promise<Report> {
  const all = { ...options, ...chosen };
  switch (dataset) {
    case 'coco':
      return task === 'retrieval'
        ? evaluateRetrieval(dataset, all)
        : evaluateCaptions(dataset, all);
    case 'nocaps':
      return evaluateCaptions(dataset, all);
    case 'flickr30k':
      return evaluateRetrieval(dataset, all);
    default:
      return evaluateAnswers(dataset, all);
  }
}
