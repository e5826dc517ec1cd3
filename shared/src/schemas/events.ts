/**
 * Data of the server-sent events of a streamed caption or answer: `image`, then `token` for each delta of the text,
 * which may be one token or several, then `done` or `error`.
 */
import * as z from 'zod/mini';
import { GpuTimings } from '../wire.ts';
import { generationReply, TokenLogprob } from './generation.ts';
import { CacheResult, ImageReply } from './image.ts';

export const ImageEvent = z.object({ ...ImageReply.shape, cache: CacheResult });
export type ImageEvent = z.infer<typeof ImageEvent>;

export const TokenEvent = z.object({
  /** A delta: the next characters of the text, whole ones only; all deltas together are the text. */
  text: z.string(),
  /** Index of the delta's last token among the generated ones. */
  index: z.int(),
  /** Which of the `n` texts it belongs to. */
  choice: z.int(),
  /** Tokens since the last delta, where log-probabilities were asked for. */
  logprobs: z.optional(z.array(TokenLogprob)),
});
export type TokenEvent = z.infer<typeof TokenEvent>;

/** The whole reply: `text`, and the same again under `caption` or `answer`. */
export const DoneEvent = z.object({
  text: z.string(),
  caption: z.optional(z.string()),
  answer: z.optional(z.string()),
  ...generationReply,
  /** Milliseconds of the GPU worker's parts. */
  timings_ms: GpuTimings,
});
export type DoneEvent = z.infer<typeof DoneEvent>;
