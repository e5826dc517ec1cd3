/** The text the language model reads beside the image positions. */
import type { EdgeModel } from './edge-model.ts';

export type Turn = { question: string; answer: string };

/** What stands before an answer: the paper's templates (section 4.3) for its two kinds of language models. */
const ANSWER = { opt: 'Answer:', t5: 'Short answer:' } as const;

/**
 * The paper's template for questions; earlier turns stand in front of it.
 * @example answerPrompt('opt', 'what color?', [{question: 'a dog?', answer: 'yes'}])
 *   // 'Question: a dog? Answer: yes. Question: what color? Answer:'
 */
export function answerPrompt(
  family: EdgeModel['family'],
  question: string,
  history: readonly Turn[] = [],
): string {
  const asked = (text: string) => `Question: ${text.trim()} ${ANSWER[family]}`;
  const turns = history.map((turn) => `${asked(turn.question)} ${turn.answer.trim()}. `);
  return `${turns.join('')}${asked(question)}`;
}

/** Ids of a whole prompt, without the image positions. */
export function promptIds(
  { prompt_prefix, prompt_suffix }: Pick<EdgeModel, 'prompt_prefix' | 'prompt_suffix'>,
  textIds: readonly number[],
): number[] {
  return [...prompt_prefix, ...textIds, ...prompt_suffix];
}
