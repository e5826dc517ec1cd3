/** image-to-text: a caption. */
import { ApiError } from '@blip2/shared/errors';
import type { GenerationOptions } from '@blip2/shared/generation/generation-options';
import { preparePrompt } from '@blip2/shared/generation/prepare-prompt';
import {
  ImageToTextOptions,
  type ImageToTextReply,
  ImageToTextRequest,
} from '@blip2/shared/schemas/hugging-face/text';
import { validate } from '@blip2/shared/validate';
import type * as z from 'zod/mini';
import { beginGeneration, wholeOf } from '../../generation/begin-generation.ts';
import { requestContextOf } from '../../routes/app-context.ts';
import { expectModel } from '../model-ids.ts';
import { imageFromText, membersOf, NOT_STORED, onImage, type Task } from './task.ts';

export const caption: Task = async (c, deps, inference) => {
  if (inference.id !== undefined) expectModel(deps.models, inference.id, 'generate');
  const { members, image } = membersOf(inference, ImageToTextOptions);
  const { inputs, parameters = {} } = validate(ImageToTextRequest, members);
  const { prompt: text = '', ...options } = parameters;
  const prompt = preparePrompt(deps, { text, field: 'prompt' }, optionsOf(options));
  const context = requestContextOf(c, deps);
  const { text: generated_text } = await onImage(
    image ?? imageFromText(inputs, 'inputs'),
    async (source) => {
      const { deltas } = await beginGeneration(deps, { source, prompt }, context);
      return await wholeOf(deltas);
    },
  );
  const reply: ImageToTextReply = { generated_text };
  const isListed = readsLists(c.req.raw.headers);
  return c.json(isListed ? [reply] : reply, 200, NOT_STORED);
};

/** Python's client reads a list of captions, and JavaScript's one caption: each throws over the other. */
export const readsLists = (headers: Headers) => /\bhf_hub\//.test(headers.get('user-agent') ?? '');

type Parameters = NonNullable<z.infer<typeof ImageToTextRequest>['parameters']>;

/**
 * Options of a text, wherever they stand.
 * @throws ApiError `invalid-request` for one that stands in two places with two values
 */
function optionsOf({
  generation_parameters,
  generate_kwargs,
  ...options
}: Omit<Parameters, 'prompt'>): GenerationOptions {
  const all: Record<string, unknown> = { ...options };
  for (const [place, nested] of Object.entries({ generation_parameters, generate_kwargs })) {
    for (const [name, value] of Object.entries(nested ?? {})) {
      if (all[name] !== undefined && JSON.stringify(all[name]) !== JSON.stringify(value)) {
        const field = `parameters.${place}.${name}`;
        const detail = `${field}: is given in another place with another value: give one of them.`;
        throw new ApiError('invalid-request', detail, { field });
      }
      all[name] = value;
    }
  }
  delete all.use_cache;
  return all as GenerationOptions;
}
