/** `POST /v1/captions`. */
import * as z from 'zod/mini';
import { described } from './described.ts';
import { generationOptions, generationReply } from './generation.ts';
import { RequestImage } from './image.ts';

/** Members of a request other than its image. */
export const CaptionOptions = z.strictObject({
  prompt: described(
    z.optional(z.string()),
    'Text that the caption continues, to the letter: also spaces at its ends are read. The reply does not repeat it.',
    'a pizza above',
  ),
  ...generationOptions,
});
export type CaptionOptions = z.infer<typeof CaptionOptions>;

export const CaptionRequest = described(
  z.strictObject({ image: RequestImage, ...CaptionOptions.shape }),
  'An image to describe.',
);

export const CaptionReply = described(
  z.object({
    caption: described(
      z.string(),
      'The caption; with `n` above 1, the first.',
      'a pizza above an octopus on a gray background',
    ),
    ...generationReply,
  }),
  'The caption, and how it came about.',
);
export type CaptionReply = z.infer<typeof CaptionReply>;
