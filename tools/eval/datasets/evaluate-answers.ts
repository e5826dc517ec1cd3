/** Answers to the questions of VQAv2, OK-VQA and GQA, without any training for them. */
import * as z from 'zod/mini';
import { mean } from '../metrics/ngrams.ts';
import { gqaAccuracy, vqaAccuracy } from '../metrics/vqa-accuracy.ts';
import { DatasetError } from './dataset-files.ts';
import { ANSWERS } from './published-results.ts';
import { ANSWER_SETTINGS, plainQuestion } from './published-settings.ts';
import { type Question, type QuestionDataset, readQuestions } from './questions.ts';
import {
  besidePaper,
  forEachItem,
  openReplies,
  percent,
  type Report,
  type RunOptions,
  spread,
} from './run.ts';

/** Where the question goes in a template. */
const PLACE = '{}';

/**
 * By default each question is asked as `POST /v1/answers` asks it, by the paper's template for the model's family.
 * @throws DatasetError for what the user can mend; Error when the API refuses
 */
export async function evaluateAnswers(
  dataset: QuestionDataset,
  options: RunOptions,
): Promise<Report> {
  const { prompt } = options;
  if (prompt !== undefined && !prompt.includes(PLACE)) {
    throw new DatasetError(
      `--prompt must have ${PLACE} where the question goes, as "Question: ${PLACE} Short answer:".`,
    );
  }
  const questions = await readQuestions(dataset, options.folder, (all) =>
    spread(all, options.limit),
  );
  const service = await options.start();
  const { model, revision, precision } = await service.health();
  const decides = { model, revision, precision, prompt, settings: ANSWER_SETTINGS };
  const { replies, path } = await openReplies(options, `${dataset}-answers`, decides, z.string());
  const ask = ({ image, question }: Question) => {
    const plain = plainQuestion(question);
    if (prompt === undefined) return service.answer(image, plain, ANSWER_SETTINGS);
    return service.caption(image, prompt.split(PLACE).join(plain), ANSWER_SETTINGS);
  };
  try {
    const outcomes = await forEachItem(options, `${dataset} answers`, questions, async (item) => {
      const answer = await replies.reply(item.id, () => ask(item));
      const accuracy =
        dataset === 'gqa'
          ? gqaAccuracy(answer, item.answers[0]!)
          : vqaAccuracy(answer, item.answers);
      return { type: item.type, accuracy };
    });
    const accuracyOf = (of: typeof outcomes) => mean(of.map(({ accuracy }) => accuracy));
    const types = [...Map.groupBy(outcomes, ({ type }) => type)].toSorted();
    const all = accuracyOf(outcomes);
    const own = [
      ['answers', 'accuracy', 'n'],
      ...types.map(([type, of]) => [type, percent(accuracyOf(of)), String(of.length)]),
      ['**all**', percent(all), String(outcomes.length)],
    ];
    const paper = besidePaper(['accuracy'], model, [all], ANSWERS[dataset]);
    return { tables: [own, paper], notes: [`Replies: ${path}`] };
  } finally {
    await replies.close();
  }
}
