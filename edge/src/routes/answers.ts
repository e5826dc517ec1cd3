/** `POST /v1/answers`. */
import { answerPrompt } from '@blip2/shared/prompts';
import { AnswerOptions } from '@blip2/shared/schemas/answers';
import { preparePrompt } from '../generation/generate.ts';
import { randomSeed } from '../generation/random-seed.ts';
import { validate } from '../http/validate.ts';
import { model } from '../model-manifest.ts';
import { textRoute } from './generate-route.ts';

export const answers = textRoute({
  member: 'answer',
  prepare: (fields) => {
    const { question, history, stream, ...options } = validate(AnswerOptions, fields);
    const text = answerPrompt(model.family, question, history);
    return { prompt: preparePrompt(text, options, randomSeed()), stream };
  },
});
