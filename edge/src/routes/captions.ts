/** `POST /v1/captions`. */
import { CaptionOptions } from '@blip2/shared/schemas/captions';
import { preparePrompt } from '../generation/generate.ts';
import { randomSeed } from '../generation/random-seed.ts';
import { validate } from '../http/validate.ts';
import { textRoute } from './generate-route.ts';

export const captions = textRoute({
  member: 'caption',
  prepare: (fields) => {
    const { prompt = '', stream, ...options } = validate(CaptionOptions, fields);
    return { prompt: preparePrompt(prompt, options, randomSeed()), stream };
  },
});
