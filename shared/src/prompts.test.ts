import { expect, it } from 'vitest';
import { answerPrompt, captionPrompt } from './prompts.ts';

it.each<[string, string]>([
  ['', ''],
  ['  a photo of ', 'a photo of'],
])('a caption continues %j as %j', (prompt, expected) => {
  expect(captionPrompt(prompt)).toBe(expected);
});

it('a question stands in the template of the paper', () => {
  expect(answerPrompt(' what is it? ')).toBe('Question: what is it? Answer:');
});

it('earlier turns stand in front of the question', () => {
  const history = [
    { question: 'a dog?', answer: 'yes' },
    { question: 'what color?', answer: ' red ' },
  ];
  expect(answerPrompt('where?', history)).toBe(
    'Question: a dog? Answer: yes. Question: what color? Answer: red. Question: where? Answer:',
  );
});
