/** `POST /v1/answers`: a question about an image. */
import { answerPrompt } from '@blip2/shared/prompts';
import { AnswerOptions, AnswerRequest } from '@blip2/shared/schemas/answers';
import { preparePrompt } from '../generation/prepare-prompt.ts';
import { validate } from '../http/validate.ts';
import { generateRoute } from './generate-route.ts';

export const answers = generateRoute({
  member: 'answer',
  schema: AnswerRequest,
  prepare: (fields, deps) => {
    const { question, history, stream, ...options } = validate(AnswerOptions, fields);
    const text = answerPrompt(deps.models.generate.family, question, history);
    // With earlier turns it may be any of them that is too long.
    const prompt = {
      text,
      ...((history ?? []).length === 0 ? { field: 'question' as const } : {}),
    };
    return { prompt: preparePrompt(deps, prompt, options), stream };
  },
});
