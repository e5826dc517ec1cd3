/** A checkpoint's defaults of a generation (`generation_config.json`), under the names of the wire. */
import * as z from 'zod/mini';
import { generationParameterOptions as parameters } from './wire.ts';

export const GenerationDefaults = z.object({
  min_tokens: parameters.min_tokens,
  temperature: parameters.temperature,
  top_p: parameters.top_p,
  top_k: parameters.top_k,
  repetition_penalty: parameters.repetition_penalty,
  no_repeat_ngram_size: parameters.no_repeat_ngram_size,
  n: parameters.n,
  num_beams: parameters.num_beams,
  length_penalty: parameters.length_penalty,
  early_stopping: parameters.early_stopping,
});
export type GenerationDefaults = z.infer<typeof GenerationDefaults>;

/**
 * A request's parameters, and the checkpoint's defaults for what it does not set. Where the two are at odds (sampling, of a checkpoint that
 * searches with beams, or a least length beyond the request's largest), the request wins.
 * @example withDefaults({ num_beams: 4 }, { temperature: 0.7 }) // { temperature: 0.7 }
 */
export function withDefaults<T extends Partial<GenerationDefaults> & { max_tokens?: number }>(
  defaults: GenerationDefaults,
  asked: T,
): GenerationDefaults & T {
  const { min_tokens, num_beams, temperature, top_p, top_k, n, ...rest } = defaults;
  const { max_tokens = Number.POSITIVE_INFINITY } = asked;
  const samples = (asked.temperature ?? 0) > 0;
  const searches = (asked.num_beams ?? 1) > 1;
  const merged = {
    ...rest,
    ...(min_tokens === undefined ? {} : { min_tokens: Math.min(min_tokens, max_tokens) }),
    ...(samples || num_beams === undefined ? {} : { num_beams }),
    ...(searches || temperature === undefined ? {} : { temperature }),
    ...(searches || top_p === undefined ? {} : { top_p }),
    ...(searches || top_k === undefined ? {} : { top_k }),
    ...asked,
  };
  const beams = merged.num_beams ?? 1;
  const texts = beams > 1 ? beams : (merged.temperature ?? 0) > 0 ? Number.POSITIVE_INFINITY : 1;
  return n === undefined || asked.n !== undefined || n > texts ? merged : { n, ...merged };
}
