/** From a prompt's text and a request's options to token ids and generation parameters. */
import { maxPromptTokens } from '@blip2/shared/edge-model';
import { ApiError } from '@blip2/shared/errors';
import { withDefaults } from '@blip2/shared/generation-defaults';
import { promptIds } from '@blip2/shared/prompts';
import type { CaptionOptions } from '@blip2/shared/schemas/captions';
import { GenerationConfig } from '@blip2/shared/wire';
import type { Dependencies } from '../dependencies.ts';
import { validate } from '../http/validate.ts';

/** The time to tokenize grows with the characters: this is far beyond what any context holds. */
const MAX_PROMPT_CHARACTERS = 4096;

export type Prompt = {
  /** Token ids with the model's control tokens; the image positions are not among them. */
  inputIds: number[];
  generation: GenerationConfig;
  stopSequences: string[];
};

/** Parameters of the generation, each of which may be absent, and stop sequences. */
export type GenerateOptions = Omit<CaptionOptions, 'prompt' | 'stream'>;

/**
 * Tokenizes and counts; it needs no image, so that it comes before one is read. `max_tokens` is cut to what the context
 * leaves.
 * @throws ApiError `prompt-too-long` with the count and the limit, `invalid-request` where options contradict each other
 */
export function preparePrompt(
  { models, randomSeed }: Pick<Dependencies, 'models' | 'randomSeed'>,
  text: string,
  options: GenerateOptions,
): Prompt {
  const model = models.generate;
  if (text.length > MAX_PROMPT_CHARACTERS) {
    throw promptTooLong('characters', MAX_PROMPT_CHARACTERS, text.length);
  }
  const inputIds = promptIds(model, model.tokenizer().encode(text));
  const limit = maxPromptTokens(model);
  if (inputIds.length > limit) throw promptTooLong('tokens', limit, inputIds.length);
  const room = limit + 1 - inputIds.length;
  const { stop = [], ...parameters } = options;
  const generation = validate(GenerationConfig, {
    seed: randomSeed(),
    ...withDefaults(model.generation ?? {}, parameters),
    max_tokens: Math.min(options.max_tokens ?? model.max_new_tokens, room),
  });
  return { inputIds, generation, stopSequences: Array.isArray(stop) ? stop : [stop] };
}

function promptTooLong(unit: string, limit: number, actual: number): ApiError {
  return new ApiError(
    'prompt-too-long',
    `The text has ${actual} ${unit}; beside the image there is room for ${limit}.`,
    { limit, actual },
  );
}
