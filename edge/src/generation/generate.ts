/** From a prompt and an image to text, piece by piece. */
import { maxPromptTokens } from '@blip2/shared/edge-model';
import { ApiError } from '@blip2/shared/errors';
import { withDefaults } from '@blip2/shared/generation-defaults';
import { promptIds } from '@blip2/shared/prompts';
import type { CaptionOptions } from '@blip2/shared/schemas/captions';
import type { Choice, Usage } from '@blip2/shared/schemas/generation';
import type { CacheResult, ImageReply } from '@blip2/shared/schemas/image';
import { GenerationConfig, type GpuDone, type GpuTimings } from '@blip2/shared/wire';
import type { Scope, Services } from '../dependencies.ts';
import { type Found, see } from '../embeddings/resolve-embeddings.ts';
import { validate } from '../http/validate.ts';
import type { ImageInput } from '../image/image-source.ts';
import { model, tokenizer } from '../model-manifest.ts';
import { ChoiceText, type Piece } from './text-streamer.ts';

/** Tokenizing takes time by the character: this is far beyond what any context holds. */
const MAX_PROMPT_CHARACTERS = 4096;

/** `input_ids` have the model's control tokens; the image positions are not among them. */
export type Prompt = { input_ids: number[]; generation: GenerationConfig; stops: string[] };

export type Generated = Choice & {
  choices?: Choice[];
  image: ImageReply;
  model: string;
  cache: CacheResult;
  usage: Usage;
  timings_ms: GpuTimings;
};

export type GenerateEvent =
  | { type: 'image'; image: ImageReply; cache: CacheResult }
  | ({ type: 'token'; choice: number } & Piece)
  | { type: 'done'; generated: Generated };

type TextOptions = Omit<CaptionOptions, 'prompt' | 'stream'>;

/**
 * Tokenizes and counts. `max_tokens` is cut to what the context leaves.
 * @param random a whole number below 2^32, the seed where the request gives none
 * @throws ApiError `prompt-too-long` with the count and the limit, `invalid-request` where options are at odds
 */
export function preparePrompt(text: string, options: TextOptions, random: number): Prompt {
  if (text.length > MAX_PROMPT_CHARACTERS) {
    throw promptTooLong('characters', MAX_PROMPT_CHARACTERS, text.length);
  }
  const input_ids = promptIds(model, tokenizer().encode(text));
  const limit = maxPromptTokens(model);
  if (input_ids.length > limit) throw promptTooLong('tokens', limit, input_ids.length);
  const room = limit + 1 - input_ids.length;
  const { stop = [], ...parameters } = options;
  const generation = validate(GenerationConfig, {
    seed: random,
    ...withDefaults(model.generation ?? {}, parameters),
    max_tokens: Math.min(options.max_tokens ?? model.max_new_tokens, room),
  });
  return { input_ids, generation, stops: Array.isArray(stop) ? stop : [stop] };
}

function promptTooLong(unit: string, limit: number, actual: number): ApiError {
  return new ApiError(
    'prompt-too-long',
    `The text has ${actual} ${unit}; beside the image there is room for ${limit}.`,
    { limit, actual },
  );
}

/** Ends with `done`. @throws ApiError of the GPU worker */
export async function* generate(
  { gpu, stores }: Services,
  input: ImageInput,
  found: Found,
  { input_ids, generation, stops }: Prompt,
  scope: Scope,
): AsyncGenerator<GenerateEvent, void, undefined> {
  const { id: request_id } = scope;
  const { revision } = model;
  const head = { kind: 'generate', request_id, revision, deadline_ms: 1 } as const;
  const texts = Array.from(
    { length: generation.n },
    () => new ChoiceText(tokenizer().bytesOf, stops),
  );
  let image: ImageReply | undefined;
  let cache: CacheResult = 'miss';
  let done: GpuDone | undefined;
  const request = { ...head, input_ids, generation };
  for await (const event of see({ gpu, ...stores.query }, input, found, request, scope)) {
    if (event.type === 'image') {
      image = { sha256: input.sha256, ...event.image };
      cache = event.cache;
      yield { type: 'image', image, cache };
    } else if (event.type === 'tokens') {
      const { choice } = event;
      for (const token of event.tokens) {
        const piece = textNumber(texts, choice).push(token);
        if (piece !== null) yield { type: 'token', choice, ...piece };
      }
      // Leaving ends the request at the worker. (A beam search has ended by then, and tells its scores next.)
      if (generation.num_beams === 1 && texts.every(({ isStopped }) => isStopped)) break;
    } else if (event.type === 'done') {
      done = event.done;
      for (const [choice, text] of texts.entries()) {
        const piece = text.end();
        if (piece !== null) yield { type: 'token', choice, ...piece };
      }
    }
  }
  if (image === undefined) throw incomplete();
  const choices = texts.map((text, index) => choiceOf(text, done?.choices[index]));
  const [first] = choices;
  if (first === undefined) throw incomplete();
  const prompt_tokens = model.num_query_tokens + input_ids.length;
  const completion_tokens = texts.reduce((sum, { count }) => sum + count, 0);
  const total_tokens = prompt_tokens + completion_tokens;
  const generated = {
    ...first,
    ...(choices.length > 1 ? { choices } : {}),
    image,
    model: model.name,
    cache,
    usage: { prompt_tokens, completion_tokens, total_tokens },
    timings_ms: done?.timings_ms ?? {},
  };
  yield { type: 'done', generated };
}

function textNumber(texts: readonly ChoiceText[], choice: number): ChoiceText {
  const text = texts[choice];
  if (text === undefined) throw incomplete();
  return text;
}

/** @param end what the worker says of it; absent where every text met a stop before the worker was done */
function choiceOf(
  { text, isStopped, logprobs }: ChoiceText,
  end: GpuDone['choices'][number] | undefined,
): Choice {
  if (!isStopped && end === undefined) throw incomplete();
  return {
    text,
    finish_reason: isStopped ? 'stop' : (end?.finish_reason ?? 'stop'),
    ...(end?.score === undefined ? {} : { score: end.score }),
    ...(logprobs.length > 0 ? { logprobs } : {}),
  };
}

function incomplete(): ApiError {
  return new ApiError('bad-gateway', 'The GPU worker left its reply incomplete.');
}
