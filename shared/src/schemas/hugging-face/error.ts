/** Errors as Hugging Face's clients read them. */
import * as z from 'zod/mini';
import { described } from '../described.ts';

export const HuggingFaceError = described(
  z.object({
    error: described(
      z.string(),
      'What is wrong with this request, and what to do about it.',
      'inputs.question: is required.',
    ),
    error_type: described(
      z.string(),
      'Which problem it is, stable: the last part of the `type` of our own problems.',
      'invalid-request',
    ),
  }),
  'An error in the form that Hugging Face’s clients read.',
);
export type HuggingFaceError = z.infer<typeof HuggingFaceError>;
