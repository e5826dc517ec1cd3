import { expect, it } from 'vitest';
import { answerPrompt, promptIds } from './prompts.ts';

it('a question is put into the template of the paper', () => {
  expect(answerPrompt('opt', ' what is it? ')).toBe('Question: what is it? Answer:');
});

it('earlier turns come before the question', () => {
  const history = [
    { question: 'a dog?', answer: 'yes' },
    { question: 'what color?', answer: ' red ' },
  ];
  expect(answerPrompt('opt', 'where?', history)).toBe(
    'Question: a dog? Answer: yes. Question: what color? Answer: red. Question: where? Answer:',
  );
});

it('T5 is asked for a short answer, also in earlier turns', () => {
  expect(answerPrompt('t5', 'where?', [{ question: 'a dog?', answer: 'yes' }])).toBe(
    'Question: a dog? Short answer: yes. Question: where? Short answer:',
  );
});

it('control tokens are put where the family has them', () => {
  expect(promptIds({ prompt_prefix: [2], prompt_suffix: [] }, [7, 8])).toEqual([2, 7, 8]);
  expect(promptIds({ prompt_prefix: [], prompt_suffix: [1] }, [7, 8])).toEqual([7, 8, 1]);
});
