/** The text the decoder reads after the image positions. */

export type Turn = { question: string; answer: string };

/** A caption continues its prompt; without one the model writes after BOS alone. */
export function captionPrompt(prompt = ''): string {
  return prompt.trim();
}

/**
 * The paper's template for questions; earlier turns stand in front of it.
 * @example answerPrompt('what color?', [{question: 'a dog?', answer: 'yes'}])
 *   // 'Question: a dog? Answer: yes. Question: what color? Answer:'
 */
export function answerPrompt(question: string, history: readonly Turn[] = []): string {
  const turns = history.map(
    (turn) => `Question: ${turn.question.trim()} Answer: ${turn.answer.trim()}. `,
  );
  return `${turns.join('')}Question: ${question.trim()} Answer:`;
}
