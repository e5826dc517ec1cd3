/** Options of Ollama's requests under our names; what would change the text and is not done is refused. */
import { ApiError } from '@blip2/shared/errors';
import type { GenerationOptions } from '@blip2/shared/generation/generation-options';
import { OllamaOptions, type OllamaTextRequest } from '@blip2/shared/schemas/ollama/options';
import type { GenerativeModel } from '@blip2/shared/served-models';
import { refuse } from '../refuse.ts';
import { generationOptionsOf, ONLY_TEXT } from '../text-request.ts';

/** @throws ApiError `unsupported-parameter` */
export function optionsOf(
  { options = {}, logprobs, top_logprobs }: OllamaTextRequest,
  model: GenerativeModel,
): GenerationOptions {
  refuseSamplers(options);
  const { num_predict, top_k, repeat_penalty, ...rest } = options;
  const max_tokens = lengthOf(num_predict, model);
  const penalties = penaltiesOf(options, max_tokens ?? model.max_new_tokens);
  return generationOptionsOf({
    ...rest,
    ...penalties,
    n: 1,
    max_tokens,
    top_k: top_k === undefined ? undefined : Math.max(top_k, 0),
    logprobs: logprobs === true || (top_logprobs ?? 0) > 0 || undefined,
    top_logprobs,
  });
}

/** Below 1, as many as there is room for; what is beyond that is cut anyway. */
function lengthOf(wanted: number | undefined, { max_positions }: GenerativeModel) {
  if (wanted === undefined) return undefined;
  return wanted < 1 ? max_positions : Math.min(wanted, max_positions);
}

/** Penalties look at the whole text: a shorter look back is not done, but none at all is. */
function penaltiesOf(
  {
    repeat_penalty,
    frequency_penalty,
    presence_penalty,
    repeat_last_n = -1,
    penalize_newline = true,
  }: OllamaOptions,
  longest: number,
): GenerationOptions {
  if (repeat_last_n === 0) {
    return { repetition_penalty: 1, frequency_penalty: 0, presence_penalty: 0 };
  }
  const others = [frequency_penalty, presence_penalty];
  if ((repeat_penalty ?? 1) !== 1 || others.some((penalty) => (penalty ?? 0) !== 0)) {
    const isShort = repeat_last_n > 0 && repeat_last_n < longest;
    const whole = `penalties look at the whole text, which may have ${longest} tokens: use -1`;
    refuse('options.repeat_last_n', isShort, whole);
    const all = 'line breaks are penalized as other tokens are: leave it out';
    refuse('options.penalize_newline', !penalize_newline, all);
  }
  return { repetition_penalty: repeat_penalty, frequency_penalty, presence_penalty };
}

/** Ways to sample that are not done. */
function refuseSamplers({ min_p = 0, typical_p = 1, tfs_z = 1, mirostat = 0 }: OllamaOptions) {
  const others = 'is not sampled by: leave it out, and use top_p and top_k';
  refuse('options.min_p', min_p > 0, others);
  refuse('options.typical_p', typical_p > 0 && typical_p < 1, others);
  refuse('options.tfs_z', tfs_z > 0 && tfs_z < 1, others);
  refuse('options.mirostat', mirostat !== 0, others);
}

/** What every request for text refuses. */
export function refuseUndone({ format, think, template }: OllamaTextRequest): void {
  refuse('format', format !== undefined && format !== '', ONLY_TEXT);
  refuse('think', think !== undefined && think !== false, 'this model does not reason: use false');
  const fixed = 'the prompt is the template of the model: leave it out';
  refuse('template', (template ?? '') !== '', fixed);
}

/** The same error, where it is about an option: that is a member of `options`. */
export function withinOptions(thrown: unknown): unknown {
  if (!(thrown instanceof ApiError)) return thrown;
  const { slug, message, extras, headers, cause } = thrown;
  const { field = '' } = extras;
  if (!Object.hasOwn(OllamaOptions.shape, field) || !message.startsWith(`${field}:`)) return thrown;
  const within = { ...extras, field: `options.${field}`, headers, cause };
  return new ApiError(slug, `options.${message}`, within);
}
