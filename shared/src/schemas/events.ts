/**
 * Data of the server-sent events of a streamed caption or answer: `image`, then `token` for each delta of the text,
 * which may be one token or several, then `done` or `error`.
 */
import * as z from 'zod/mini';
import { Problem } from '../errors.ts';
import { GpuTimings } from '../wire.ts';
import { described, describedMembers } from './described.ts';
import { generationReply, TokenLogprob } from './generation.ts';
import { ImageReply, ShownReplyCacheResult } from './image.ts';

export const ImageEvent = described(
  z.object({ ...ImageReply.shape, cache: ShownReplyCacheResult }),
  'The image, before the first token.',
);
export type ImageEvent = z.infer<typeof ImageEvent>;

const index = (description: string, example: number) =>
  described(z.int().check(z.nonnegative()), description, example);

export const TokenEvent = described(
  z.object({
    text: described(
      z.string(),
      'A delta: the next characters of the text, whole ones only. All deltas of a choice, joined, are its text.',
      ' octopus',
    ),
    index: index("Index of the delta's last token among the generated ones, from 0.", 3),
    choice: index('Which of the `n` texts it belongs to, from 0.', 0),
    logprobs: described(
      z.optional(z.array(TokenLogprob)),
      'With `logprobs`: the tokens since the last delta.',
    ),
  }),
  'The next part of a text.',
);
export type TokenEvent = z.infer<typeof TokenEvent>;

const wholeText = (description: string, example?: string) =>
  described(z.optional(z.string()), description, ...(example === undefined ? [] : [example]));

/** The whole reply: `text`, and the same again under `caption` or `answer`. */
export const DoneEvent = described(
  z.object({
    text: described(z.string(), 'The whole text.', 'a pizza above an octopus'),
    caption: wholeText('Of a caption: the same as `text`.', 'a pizza above an octopus'),
    answer: wholeText('Of an answer: the same as `text`.'),
    ...generationReply,
    timings_ms: described(
      z.object(
        describedMembers(GpuTimings.shape, {
          queue: ['Waiting for a slot.', 0.2],
          decode_image: ['Decoding and resizing the image.', 4.1],
          vision: ['Image encoder.', 21.5],
          qformer: ['Q-Former.', 3.2],
          match: ['ITM and ITC.', 2.5],
          prefill: ['Prompt, up to the first token.', 6.4],
          decode: ['All further tokens.', 30.8],
        }),
      ),
      'Milliseconds of the parts of the GPU worker; parts that were not needed are absent.',
    ),
  }),
  'The end of a text: the reply as a request without `stream` gets it, and times.',
);
export type DoneEvent = z.infer<typeof DoneEvent>;

const event = <Name extends string, Data extends z.core.$ZodType>(name: Name, data: Data) =>
  z.object({
    event: described(z.literal(name), 'Name of the event, its line `event:`.'),
    data,
  });

/** One server-sent event, its data parsed. */
export const StreamEvent = described(
  z.discriminatedUnion('event', [
    event('image', ImageEvent),
    event('token', TokenEvent),
    event('done', DoneEvent),
    event('error', Problem),
  ]),
  'An event of a stream: `image` first, `token` for each part of a text, and `done` or `error` as the last. `data` is one line of JSON.',
);
