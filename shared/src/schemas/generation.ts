/** What captions and answers have in common. */
import * as z from 'zod/mini';
import { FinishReason, Sampling } from '../wire.ts';
import { CacheResult, ImageReply } from './image.ts';

const { max_tokens, temperature, top_p, top_k, repetition_penalty, seed } = Sampling.shape;

/** Options of a generation; what is absent takes the model's default, and greedy decoding. */
export const generationOptions = {
  max_tokens: z.optional(max_tokens),
  temperature: z.optional(temperature),
  top_p: z.optional(top_p),
  top_k: z.optional(top_k),
  repetition_penalty: z.optional(repetition_penalty),
  seed: z.optional(seed),
  stream: z.optional(z.boolean()),
};

/** `prompt_tokens` counts the image positions and the text with its BOS. */
export const Usage = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
});
export type Usage = z.infer<typeof Usage>;

export const generationReply = {
  id: z.string(),
  image: ImageReply,
  model: z.string(),
  cache: CacheResult,
  usage: Usage,
  finish_reason: FinishReason,
};
