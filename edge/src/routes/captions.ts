/** `POST /v1/captions`. */
import { CaptionOptions } from '@blip2/shared/schemas/captions';
import { preparePrompt } from '../generate.ts';
import { validate } from '../request/validate.ts';
import { textRoute } from './generation.ts';
import { randomSeed } from './seed.ts';

export const captions = textRoute({
  member: 'caption',
  prepare: (fields) => {
    const { prompt = '', stream, ...options } = validate(CaptionOptions, fields);
    return { prompt: preparePrompt(prompt, options, randomSeed()), stream };
  },
});
