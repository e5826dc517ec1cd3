/** `POST /v1/match`. */
import * as z from 'zod/mini';
import { MAX_TEXTS, MatchScore } from '../wire.ts';
import { ImageReply, RequestImage } from './image.ts';

const text = z.string().check(z.regex(/\S/, 'must not be empty'));

/** Members of a request other than its image. */
export const MatchOptions = z.strictObject({
  texts: z.array(text).check(z.minLength(1), z.maxLength(MAX_TEXTS)),
});

export const MatchRequest = z.strictObject({ image: RequestImage, ...MatchOptions.shape });

export const MatchReply = z.object({
  id: z.string(),
  /** For each text, in their order: ITM's probability that it belongs to the image, and ITC's similarity. */
  scores: z.array(z.object({ text: z.string(), ...MatchScore.shape })),
  image: ImageReply,
  model: z.string(),
});
export type MatchReply = z.infer<typeof MatchReply>;
