/** `POST /v1/captions`. */
import * as z from 'zod/mini';
import { generationOptions, generationReply } from './generation.ts';
import { RequestImage } from './image.ts';

/** Members of a request other than its image. */
export const CaptionOptions = z.strictObject({
  /** Text the caption continues, to the letter: also spaces at its ends are read. */
  prompt: z.optional(z.string()),
  ...generationOptions,
});
export type CaptionOptions = z.infer<typeof CaptionOptions>;

export const CaptionRequest = z.strictObject({ image: RequestImage, ...CaptionOptions.shape });

export const CaptionReply = z.object({ caption: z.string(), ...generationReply });
export type CaptionReply = z.infer<typeof CaptionReply>;
