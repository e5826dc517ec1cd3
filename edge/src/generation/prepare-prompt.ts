/** From a prompt's text and a request's options to token ids and generation parameters. */
import { maxPromptTokens } from '@blip2/shared/edge-model';
import { ApiError } from '@blip2/shared/errors';
import { withDefaults } from '@blip2/shared/generation-defaults';
import { promptIds } from '@blip2/shared/prompts';
import { GenerationConfig } from '@blip2/shared/wire';
import type { Dependencies } from '../dependencies.ts';
import { validate } from '../http/validate.ts';
import { type GenerationOptions, generationOptionsFrom } from './generation-options.ts';

/** The time to tokenize grows with the characters: this is far beyond what any context holds. */
const MAX_PROMPT_CHARACTERS = 4096;

export type Prompt = {
  /** Token ids with the model's control tokens; the image positions are not among them. */
  inputIds: number[];
  generation: GenerationConfig;
  stopSequences: string[];
};

/** A prompt's text, and the member of the request that it comes from, where that is one. */
export type PromptText = { text: string; field?: 'prompt' | 'question' };

/**
 * Tokenizes and counts; it needs no image, so that it comes before one is read. `max_tokens` is cut to what the context
 * leaves: a text that ends there has the finish reason `length`.
 * @throws ApiError `prompt-too-long` with the field, the count and the limit, `invalid-request` where options contradict each other
 */
export function preparePrompt(
  { models, randomSeed }: Pick<Dependencies, 'models' | 'randomSeed'>,
  { text, field }: PromptText,
  options: GenerationOptions,
): Prompt {
  const model = models.generate;
  const where = field === undefined ? {} : { field };
  if (text.length > MAX_PROMPT_CHARACTERS) {
    throw promptTooLong('characters', {
      ...where,
      limit: MAX_PROMPT_CHARACTERS,
      actual: text.length,
    });
  }
  const inputIds = promptIds(model, model.tokenizer().encode(text));
  const limit = maxPromptTokens(model);
  if (inputIds.length > limit)
    throw promptTooLong('tokens', { ...where, limit, actual: inputIds.length });
  const room = limit + 1 - inputIds.length;
  const {
    stop = [],
    max_tokens: wanted = model.max_new_tokens,
    ...parameters
  } = generationOptionsFrom(options);
  const max_tokens = Math.min(wanted, room);
  const generation = validate(GenerationConfig, {
    seed: randomSeed(),
    ...withDefaults(model.generation ?? {}, { ...parameters, max_tokens }),
  });
  return { inputIds, generation, stopSequences: Array.isArray(stop) ? stop : [stop] };
}

function promptTooLong(
  unit: string,
  where: { field?: string; limit: number; actual: number },
): ApiError {
  const detail = `The text has ${where.actual} ${unit}; beside the image there is room for ${where.limit}.`;
  return new ApiError('prompt-too-long', detail, where);
}
