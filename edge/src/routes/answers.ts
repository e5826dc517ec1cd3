/** `POST /v1/answers`. */
import { answerPrompt } from '@blip2/shared/prompts';
import { AnswerOptions } from '@blip2/shared/schemas/answers';
import { preparePrompt } from '../generate.ts';
import { model } from '../model.ts';
import { validate } from '../request/validate.ts';
import { textRoute } from './generation.ts';
import { randomSeed } from './seed.ts';

export const answers = textRoute({
  member: 'answer',
  prepare: (fields) => {
    const { question, history, stream, ...options } = validate(AnswerOptions, fields);
    const text = answerPrompt(model.family, question, history);
    return { prompt: preparePrompt(text, options, randomSeed()), stream };
  },
});
