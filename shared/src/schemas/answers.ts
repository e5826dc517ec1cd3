/** `POST /v1/answers`. */
import * as z from 'zod/mini';
import { generationOptions, generationReply } from './generation.ts';
import { RequestImage } from './image.ts';

const notBlank = z.string().check(z.regex(/\S/, 'must not be empty'));

/** Members of a request other than its image. */
export const AnswerOptions = z.strictObject({
  question: notBlank,
  /** Earlier turns, oldest first. */
  history: z.optional(
    z.array(z.strictObject({ question: notBlank, answer: z.string() })).check(z.maxLength(64)),
  ),
  ...generationOptions,
});
export type AnswerOptions = z.infer<typeof AnswerOptions>;

export const AnswerRequest = z.strictObject({ image: RequestImage, ...AnswerOptions.shape });

export const AnswerReply = z.object({ answer: z.string(), ...generationReply });
export type AnswerReply = z.infer<typeof AnswerReply>;
