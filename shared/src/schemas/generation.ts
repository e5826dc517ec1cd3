/** The common members of requests and replies for captions and answers. */
import * as z from 'zod/mini';
import { FinishReason, generationParameterOptions } from '../wire.ts';
import { CacheResult, ImageReply } from './image.ts';
import { otherNames } from './other-names.ts';

const stopSequence = z.string().check(z.minLength(1), z.maxLength(100));

/** Options of a generation; the defaults are the model's, and greedy decoding. */
export const generationOptions = {
  ...generationParameterOptions,
  /** Stop sequences: a text ends before the first of them. */
  stop: z.optional(z.union([stopSequence, z.array(stopSequence).check(z.maxLength(8))])),
  /** Whether the reply is a stream of events; it wins over `Accept`. */
  stream: z.optional(z.boolean()),
  ...otherNames,
};

/** `prompt_tokens` counts the image positions and the text with its BOS. */
export const Usage = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
});
export type Usage = z.infer<typeof Usage>;

const scoredToken = { id: z.int(), text: z.string(), logprob: z.number() };

/** A generated token, its log-probability (natural logarithm), and the likeliest tokens at its position. */
export const TokenLogprob = z.object({
  ...scoredToken,
  top_logprobs: z.array(z.object(scoredToken)),
});
export type TokenLogprob = z.infer<typeof TokenLogprob>;

/** Members of one generated text, apart from the text. */
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
  /** With `n` above 1: all texts, the best first in a beam search. The reply's own text is the first of them. */
  choices: z.optional(z.array(Choice)),
};
