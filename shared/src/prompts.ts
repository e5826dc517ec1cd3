/** Prompts of the language model: the text that follows the image positions. */
import type { EdgeModel } from './edge-model.ts';

export type Turn = { question: string; answer: string };

/** Ends of the paper's templates for questions (section 4.3), for its two kinds of language models. */
const ANSWER = { opt: 'Answer:', t5: 'Short answer:' } as const;

/**
 * The paper's template for questions, after the earlier turns of the conversation.
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

/** The instruction that a Q-Former reads where the request gives none. */
export const DEFAULT_INSTRUCTION = 'Write a short description for the image.';

/** Token ids of a whole prompt, control tokens included, without the image positions. */
export function promptIds(
  { prompt_prefix, prompt_suffix }: Pick<EdgeModel, 'prompt_prefix' | 'prompt_suffix'>,
  textIds: readonly number[],
): number[] {
  return [...prompt_prefix, ...textIds, ...prompt_suffix];
}
