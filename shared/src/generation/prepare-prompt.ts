/** From a prompt's text and a request's options to token ids and generation parameters. */
import { maxPromptTokens } from '../edge-model.ts';
import { withDefaults } from '../generation-defaults.ts';
import { promptIds } from '../prompts.ts';
import type { ServedModels } from '../served-models.ts';
import { validate } from '../validate.ts';
import { GenerationConfig } from '../wire.ts';
import { type GenerationOptions, generationOptionsFrom } from './generation-options.ts';
import { expectShort, instructed, instructionIds, promptTooLong } from './instruction.ts';
import type { Prompt } from './prompt.ts';

export type { Prompt };

/** A prompt's text, and the member of the request that it comes from, where that is one. */
export type PromptText = { text: string; field?: 'prompt' | 'question' | 'history' };

/**
 * Tokenizes and counts; it needs no image, so that it comes before one is read. `max_tokens` is cut to what the context
 * leaves: a text that ends there has the finish reason `length`.
 * @throws ApiError `prompt-too-long` with the field, the count and the limit, `invalid-request` where options contradict each other
 */
export function preparePrompt(
  { models, randomSeed }: { models: Pick<ServedModels, 'generate'>; randomSeed: () => number },
  { text: given, field }: PromptText,
  options: GenerationOptions,
): Prompt {
  const model = models.generate;
  const text = instructed(model, given);
  const where = field === undefined ? {} : { field };
  expectShort(text, where);
  const inputIds = promptIds(model, model.tokenizer().encode(text));
  const limit = maxPromptTokens(model);
  if (inputIds.length > limit)
    throw promptTooLong('tokens', { ...where, limit, actual: inputIds.length });
  const instruction = instructionIds(model, text, where);
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
  const stopSequences = Array.isArray(stop) ? stop : [stop];
  return { inputIds, instructionIds: instruction, generation, stopSequences };
}
