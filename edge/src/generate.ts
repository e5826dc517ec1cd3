/** From a prompt and a picture to text, piece by piece. */
import { maxPromptTokens } from '@blip2/shared/edge-model';
import { ApiError } from '@blip2/shared/errors';
import type { CaptionOptions } from '@blip2/shared/schemas/captions';
import type { Usage } from '@blip2/shared/schemas/generation';
import type { CacheResult, ImageReply } from '@blip2/shared/schemas/image';
import type { FinishReason, GpuTimings, Sampling } from '@blip2/shared/wire';
import type { Picture } from './image/source.ts';
import { model, tokenizer } from './model.ts';
import { type Found, see } from './see.ts';
import type { Scope, Services } from './services.ts';
import { createDetokenizer } from './stream/detokenize.ts';

/** Tokenising takes time by the character: this is far beyond what any context holds. */
const MAX_PROMPT_CHARACTERS = 4096;

/** `input_ids` begin with BOS; the image positions are not among them. */
export type Prompt = { input_ids: number[]; sampling: Sampling };

export type Generated = {
  text: string;
  image: ImageReply;
  model: string;
  cache: CacheResult;
  usage: Usage;
  finish_reason: FinishReason;
  timings_ms: GpuTimings;
};

export type GenerateEvent =
  | { type: 'image'; image: ImageReply; cache: CacheResult }
  | { type: 'token'; text: string; index: number }
  | { type: 'done'; generated: Generated };

type SamplingOptions = Omit<CaptionOptions, 'prompt' | 'stream'>;

/**
 * Tokenises and counts. `max_tokens` is cut to what the context leaves.
 * @param random a whole number below 2^32, the seed where the request gives none
 * @throws ApiError `prompt-too-long` with the count and the limit
 */
export function preparePrompt(text: string, options: SamplingOptions, random: number): Prompt {
  if (text.length > MAX_PROMPT_CHARACTERS) {
    throw promptTooLong('characters', MAX_PROMPT_CHARACTERS, text.length);
  }
  const input_ids = [model.bos_token_id, ...tokenizer().encode(text)];
  const limit = maxPromptTokens(model);
  if (input_ids.length > limit) throw promptTooLong('tokens', limit, input_ids.length);
  const room = limit + 1 - input_ids.length;
  return {
    input_ids,
    sampling: {
      max_tokens: Math.min(options.max_tokens ?? model.max_new_tokens, room),
      temperature: options.temperature ?? 0,
      top_p: options.top_p ?? 1,
      top_k: options.top_k ?? 0,
      repetition_penalty: options.repetition_penalty ?? 1,
      seed: options.seed ?? random,
    },
  };
}

function promptTooLong(unit: string, limit: number, actual: number): ApiError {
  return new ApiError(
    'prompt-too-long',
    `The text has ${actual} ${unit}; beside the picture there is room for ${limit}.`,
    { limit, actual },
  );
}

/** Ends with `done`. @throws ApiError of the GPU worker */
export async function* generate(
  services: Services,
  picture: Picture,
  found: Found,
  prompt: Prompt,
  scope: Scope,
): AsyncGenerator<GenerateEvent, void, undefined> {
  const { id: request_id } = scope;
  const { revision } = model;
  const request = { kind: 'generate', request_id, revision, deadline_ms: 1, ...prompt } as const;
  const detokenizer = createDetokenizer(tokenizer().bytesOf);
  let text = '';
  let index = -1;
  let image: ImageReply | undefined;
  let cache: CacheResult = 'miss';
  for await (const event of see(services, picture, found, request, scope)) {
    if (event.type === 'image') {
      image = { sha256: picture.sha256, ...event.image };
      cache = event.cache;
      yield { type: 'image', image, cache };
    } else if (event.type === 'tokens') {
      for (const id of event.ids) {
        index++;
        const piece = detokenizer.push(id);
        text += piece;
        if (piece !== '') yield { type: 'token', text: piece, index };
      }
    } else if (event.type === 'done') {
      const rest = detokenizer.end();
      text += rest;
      if (rest !== '') yield { type: 'token', text: rest, index };
      const { finish_reason, completion_tokens, timings_ms } = event.done;
      if (image === undefined || finish_reason === undefined) {
        throw new ApiError('bad-gateway', 'The GPU worker left its reply incomplete.');
      }
      const prompt_tokens = model.num_query_tokens + prompt.input_ids.length;
      const total_tokens = prompt_tokens + completion_tokens;
      const usage = { prompt_tokens, completion_tokens, total_tokens };
      const generated = { text, image, model: model.name, cache, usage, finish_reason, timings_ms };
      yield { type: 'done', generated };
    }
  }
}
