/** What captions and answers have in common. */
import * as z from 'zod/mini';
import { FinishReason, generationParameters } from '../wire.ts';
import { CacheResult, ImageReply } from './image.ts';

const stopText = z.string().check(z.minLength(1), z.maxLength(100));
const parameters = generationParameters;

/** Options of a generation; what is absent takes the model's default, and greedy decoding. */
export const generationOptions = {
  max_tokens: z.optional(parameters.max_tokens),
  min_tokens: z.optional(parameters.min_tokens),
  temperature: z.optional(parameters.temperature),
  top_p: z.optional(parameters.top_p),
  top_k: z.optional(parameters.top_k),
  repetition_penalty: z.optional(parameters.repetition_penalty),
  no_repeat_ngram_size: z.optional(parameters.no_repeat_ngram_size),
  seed: z.optional(parameters.seed),
  n: z.optional(parameters.n),
  num_beams: z.optional(parameters.num_beams),
  length_penalty: z.optional(parameters.length_penalty),
  early_stopping: z.optional(parameters.early_stopping),
  logprobs: z.optional(parameters.logprobs),
  top_logprobs: z.optional(parameters.top_logprobs),
  /** Texts that end the writing; what is written stops before them. */
  stop: z.optional(z.union([stopText, z.array(stopText).check(z.maxLength(8))])),
  stream: z.optional(z.boolean()),
};

/** `prompt_tokens` counts the image positions and the text with its BOS. */
export const Usage = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
});
export type Usage = z.infer<typeof Usage>;

const scoredToken = { id: z.int(), text: z.string(), logprob: z.number() };

/** A written token, its log-probability, and the likeliest tokens at its place. */
export const TokenLogprob = z.object({
  ...scoredToken,
  top_logprobs: z.array(z.object(scoredToken)),
});
export type TokenLogprob = z.infer<typeof TokenLogprob>;

/** What is known of one text beside the text. */
export const choiceDetails = {
  finish_reason: FinishReason,
  /** Of a beam search: sum of the log-probabilities over the length to the power of the penalty. */
  score: z.optional(z.number()),
  logprobs: z.optional(z.array(TokenLogprob)),
};

export const Choice = z.object({ text: z.string(), ...choiceDetails });
export type Choice = z.infer<typeof Choice>;

export const generationReply = {
  id: z.string(),
  image: ImageReply,
  model: z.string(),
  cache: CacheResult,
  usage: Usage,
  ...choiceDetails,
  /** With `n` above 1: all texts, the best first in a beam search. The first is that of the reply. */
  choices: z.optional(z.array(Choice)),
};
