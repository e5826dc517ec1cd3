/** `POST /v1/answers`. */
import * as z from 'zod/mini';
import { described } from './described.ts';
import { generationOptions, generationReply } from './generation.ts';
import { RequestImage } from './image.ts';
import { noImage } from './places.ts';

const notBlank = () => z.string().check(z.regex(/\S/, 'must not be empty'));

const Turn = z.strictObject({
  question: described(notBlank(), 'An earlier question.', 'is there an octopus?'),
  answer: described(z.string(), 'The answer that was given to it.', 'yes'),
});

/** Members of a request other than its image. */
export const AnswerOptions = z.strictObject({
  question: described(
    notBlank().check(noImage('send it as image')),
    'The question, in natural language.',
    'what is above the octopus?',
  ),
  history: described(
    z.optional(z.array(Turn).check(z.maxLength(64))),
    'Earlier turns about the same image, oldest first. They take part of the context; the embedded model answers best with four at most.',
    [{ question: 'is there an octopus?', answer: 'yes' }],
  ),
  ...generationOptions,
});
export type AnswerOptions = z.infer<typeof AnswerOptions>;

export const AnswerRequest = described(
  z.strictObject({ image: RequestImage, ...AnswerOptions.shape }),
  'A question about an image.',
);

export const AnswerReply = described(
  z.object({
    answer: described(z.string(), 'The answer; with `n` above 1, the first.', 'a pizza'),
    ...generationReply,
  }),
  'The answer, and how it came about.',
);
export type AnswerReply = z.infer<typeof AnswerReply>;
