/** Options of a text as Ollama's clients send them: those that mean something here, and those that change no text. */
import * as z from 'zod/mini';
import { generationParameterOptions } from '../../wire.ts';
import { described } from '../described.ts';
import { generationOptions } from '../generation.ts';
import { textOptions } from '../openai/options.ts';

const wholeNumber = z.int({ error: 'must be a whole number' });

/** Of the machine: what they say changes no text. */
const OF_MACHINE = [
  'num_ctx',
  'num_batch',
  'num_gpu',
  'main_gpu',
  'num_thread',
  'num_keep',
  'numa',
  'low_vram',
  'f16_kv',
  'logits_all',
  'vocab_only',
  'use_mmap',
  'use_mlock',
  'embedding_only',
  'mirostat_tau',
  'mirostat_eta',
] as const;

const ofMachine = described(
  z.optional(z.union([z.number(), z.boolean()])),
  'Accepted: it changes no text.',
);

/** The value that changes nothing is the only one. */
const neutral = (value: string) =>
  described(z.optional(z.number()), `Not done here: leave it out, or ${value}.`);

export const OllamaOptions = described(
  z.strictObject({
    temperature: generationOptions.temperature,
    seed: textOptions.seed,
    num_predict: described(
      z.optional(wholeNumber),
      'Most tokens to generate; below 1, as many as the context has room for.',
      30,
    ),
    top_k: described(
      z.optional(wholeNumber),
      'Samples from so many of the likeliest tokens; below 1, from all.',
      40,
    ),
    top_p: generationOptions.top_p,
    stop: generationOptions.stop,
    repeat_penalty: described(
      z.optional(generationParameterOptions.repetition_penalty._zod.def.innerType),
      'Makes tokens that the text already has less likely, above 1, or likelier, below 1.',
      1.1,
    ),
    repeat_last_n: described(
      z.optional(wholeNumber),
      'Over how many tokens penalties look back: at least as many as the text may have, or -1, since they look at all of it; 0 is none.',
      -1,
    ),
    presence_penalty: generationOptions.presence_penalty,
    frequency_penalty: generationOptions.frequency_penalty,
    penalize_newline: described(
      z.optional(z.boolean()),
      '`true` is the only one with penalties.',
      true,
    ),
    min_p: neutral('0'),
    typical_p: neutral('1'),
    tfs_z: neutral('1'),
    mirostat: neutral('0'),
    ...(Object.fromEntries(OF_MACHINE.map((name) => [name, ofMachine])) as Record<
      (typeof OF_MACHINE)[number],
      typeof ofMachine
    >),
    min_tokens: generationOptions.min_tokens,
    num_beams: generationOptions.num_beams,
    length_penalty: generationOptions.length_penalty,
    early_stopping: generationOptions.early_stopping,
    no_repeat_ngram_size: generationOptions.no_repeat_ngram_size,
  }),
  'Options of a text under Ollama’s names, and our own beside them.',
);
export type OllamaOptions = z.infer<typeof OllamaOptions>;

/** Name of a model. */
export const ollamaModel = described(
  z.string(),
  'Name of a model, with or without `:latest`, or its name on the hub: `/api/tags` lists what is served.',
  'blip2-scenes',
);

/** Members of every request that names a model. */
export const ofEveryRequest = {
  model: ollamaModel,
  keep_alive: described(
    z.optional(z.union([z.string(), z.number()])),
    'Accepted: the models stay loaded.',
    '5m',
  ),
};

const text = (description: string) => described(z.optional(z.string()), description);

/** Members of a request for text beside the text itself. */
export const ofText = {
  ...ofEveryRequest,
  stream: described(
    z.optional(z.boolean()),
    'Whether the reply comes as lines of JSON; where nothing is said, it does.',
    false,
  ),
  options: z.optional(OllamaOptions),
  format: described(
    z.optional(z.union([z.string(), z.looseObject({})])),
    'An empty text is the only one: no form of JSON can be promised.',
    '',
  ),
  think: described(
    z.optional(z.union([z.boolean(), z.string()])),
    '`false`: the model does not reason.',
    false,
  ),
  template: text('Not done here: the prompt is the template of the model. Leave it out.'),
  logprobs: generationOptions.logprobs,
  top_logprobs: generationOptions.top_logprobs,
  truncate: described(
    z.optional(z.boolean()),
    'Whether the oldest turns are left out where all are too many, as they are where nothing is said.',
    true,
  ),
  shift: described(
    z.optional(z.boolean()),
    'Accepted: a text that comes to the end of the context ends there, with the reason `length`.',
    true,
  ),
};

/** What says how a text is written. */
export type OllamaTextRequest = Omit<
  z.infer<z.ZodMiniObject<typeof ofText>>,
  keyof typeof ofEveryRequest
>;

/** An image in a request. */
export const ollamaImages = described(
  z.optional(z.array(z.string({ error: 'must be an image as base64' }))),
  'The image, in base64. A `data:` or http(s) URL and the SHA-256 of one that was sent before are read as well.',
  ['f4112ab67441c8c64f31bf11d8bb81a051ae8e292af3bca8e4862cd950ecf70f'],
);
