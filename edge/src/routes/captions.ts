/** `POST /v1/captions`: an image in words, after a beginning that the request may give. */

import { preparePrompt } from '@blip2/shared/generation/prepare-prompt';
import { CaptionOptions, CaptionRequest } from '@blip2/shared/schemas/captions';
import { validate } from '@blip2/shared/validate';
import { generateRoute } from './generate-route.ts';

export const captions = generateRoute({
  member: 'caption',
  schema: CaptionRequest,
  prepare: (fields, deps) => {
    const { prompt = '', stream, ...options } = validate(CaptionOptions, fields);
    return { prompt: preparePrompt(deps, { text: prompt, field: 'prompt' }, options), stream };
  },
});
