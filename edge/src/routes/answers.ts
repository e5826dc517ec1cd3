/** `POST /v1/answers`: a question about an image. */

import { preparePrompt } from '@blip2/shared/generation/prepare-prompt';
import { answerPrompt } from '@blip2/shared/prompts';
import { AnswerOptions, AnswerRequest } from '@blip2/shared/schemas/answers';
import { validate } from '@blip2/shared/validate';
import { generateRoute } from './generate-route.ts';

export const answers = generateRoute({
  member: 'answer',
  schema: AnswerRequest,
  prepare: (fields, deps) => {
    const { question, history, stream, ...options } = validate(AnswerOptions, fields);
    const text = answerPrompt(deps.models.generate.family, question, history);
    // Where there are earlier turns, it is they that can be left out.
    const field = (history ?? []).length === 0 ? 'question' : 'history';
    return { prompt: preparePrompt(deps, { text, field }, options), stream };
  },
});
