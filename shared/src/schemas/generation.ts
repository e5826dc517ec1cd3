/** The common members of requests and replies for captions and answers. */
import * as z from 'zod/mini';
import { FinishReason, generationParameterOptions } from '../wire.ts';
import { described, describedMembers } from './described.ts';
import { requestId } from './headers.ts';
import { ImageReply, ShownReplyCacheResult } from './image.ts';
import { otherNames } from './other-names.ts';

const stopSequence = z.string().check(z.minLength(1), z.maxLength(100));

/** Options of a generation; the defaults are the model's, and greedy decoding. */
export const generationOptions = {
  ...describedMembers(generationParameterOptions, {
    max_tokens: [
      'Most tokens to generate. More than the context has room for are cut down to what it has.',
      30,
    ],
    min_tokens: ['Tokens before which a text does not end.', 4],
    temperature: [
      '0 takes the likeliest token each time (greedy); above 0, tokens are sampled, the more evenly the higher it is. Not together with `num_beams` above 1.',
      0.7,
    ],
    top_p: ['Samples from the likeliest tokens whose probabilities add up to this; 1 is all.', 0.9],
    top_k: ['Samples from so many of the likeliest tokens; 0 is all.', 40],
    repetition_penalty: [
      'Makes tokens that the text already has less likely, above 1, or likelier, below 1.',
      1.2,
    ],
    frequency_penalty: [
      'Subtracted from the logit of a token for each time that the text has it already, as in OpenAI’s API; the prompt does not count.',
      0.5,
    ],
    presence_penalty: [
      'Subtracted once from the logit of each token that the text has already, as in OpenAI’s API; the prompt does not count.',
      0.5,
    ],
    no_repeat_ngram_size: ['No run of so many tokens is generated twice; 0 is no such rule.', 3],
    seed: [
      'Seed of the sampling: the same seed and request give the same text. Without it, a random one.',
      7,
    ],
    n: [
      'Texts to generate: samples, which need a `temperature` above 0, or the best of a search with as many `num_beams` or more.',
      2,
    ],
    num_beams: ['Beams of a beam search; 1 is none.', 4],
    length_penalty: [
      "Exponent of the length by which a beam's score is divided: above 0 prefers longer texts, below 0 shorter ones.",
      1,
    ],
    early_stopping: [
      'When a beam search ends: `true`, at as many finished texts as beams; `false`, when a better one is unlikely; `never`, when none can be better.',
      true,
    ],
    logprobs: ['Whether each token comes with its log-probability.', true],
    top_logprobs: [
      'How many of the likeliest tokens are reported at each position; needs `logprobs`.',
      2,
    ],
  }),
  stop: described(
    z.optional(z.union([stopSequence, z.array(stopSequence).check(z.maxLength(8))])),
    'Stop sequences, one or several: a text ends before the first of them.',
    ' on',
  ),
  stream: described(
    z.optional(z.boolean()),
    'Whether the reply is a stream of server-sent events; it wins over `Accept`.',
    true,
  ),
  ...otherNames,
};

const count = (description: string, example: number) =>
  described(z.int().check(z.nonnegative()), description, example);

/** `prompt_tokens` counts the image positions and the text with its BOS. */
export const Usage = described(
  z.object({
    prompt_tokens: count(
      'Positions of the prompt: those of the image, and the tokens of the text.',
      33,
    ),
    completion_tokens: count('Tokens that were generated, of all texts.', 10),
    total_tokens: count('The sum of both.', 55),
  }),
  'What the request took of the context.',
);
export type Usage = z.infer<typeof Usage>;

const scoredToken = {
  id: described(z.int().check(z.nonnegative()), 'Token id.', 412),
  text: described(z.string(), 'The characters of the token.', ' octopus'),
  logprob: described(
    z.number(),
    'Natural logarithm of its probability, as the model gave it: before penalties and temperature.',
    -0.02,
  ),
};

/** A generated token, its log-probability (natural logarithm), and the likeliest tokens at its position. */
export const TokenLogprob = described(
  z.object({
    ...scoredToken,
    top_logprobs: described(
      z.array(z.object(scoredToken)),
      'The likeliest tokens at its position, as many as `top_logprobs` asks for.',
    ),
  }),
  'A generated token.',
);
export type TokenLogprob = z.infer<typeof TokenLogprob>;

/** Members of one generated text, apart from the text. */
export const choiceDetails = {
  finish_reason: described(
    FinishReason,
    'Why the text ended: `stop`, at its end or before a stop sequence; `length`, at `max_tokens` or the end of the context.',
    'stop',
  ),
  score: described(
    z.optional(z.number()),
    'Of a beam search: the sum of the log-probabilities, divided by the length to the power of `length_penalty`.',
    -0.31,
  ),
  logprobs: described(
    z.optional(z.array(TokenLogprob)),
    'With `logprobs`: the tokens of the text.',
  ),
};

export const Choice = described(
  z.object({
    text: described(z.string(), 'The text.', 'a pizza above an octopus'),
    ...choiceDetails,
  }),
  'One of several texts.',
);
export type Choice = z.infer<typeof Choice>;

export const Warning = described(
  z.object({
    type: described(
      z.literal('outside-training'),
      '`outside-training`: the image is unlike all that the model was trained on.',
    ),
    detail: described(
      z.string(),
      'What it means for the text.',
      'This image is unlike all that blip2-scenes was trained on, so the text is a guess. blip2-scenes knows emoji scenes only.',
    ),
    remedy: described(
      z.string(),
      'What helps.',
      'For photographs, documents and drawings, load a published checkpoint: `BLIP2_CHECKPOINT=Salesforce/blip2-opt-2.7b npm start`.',
    ),
  }),
  'Why not to rely on a text.',
);
export type Warning = z.infer<typeof Warning>;

export const Warnings = described(
  z.optional(z.array(Warning).check(z.minLength(1))),
  'Why not to rely on the text; absent where there is no warning.',
);

export const generationReply = {
  id: requestId,
  image: ImageReply,
  model: described(z.string(), 'Name of the model that wrote the text.', 'blip2-scenes'),
  cache: ShownReplyCacheResult,
  usage: Usage,
  warnings: Warnings,
  ...choiceDetails,
  choices: described(
    z.optional(z.array(Choice)),
    'With `n` above 1: all texts, the best first in a beam search.',
  ),
};
