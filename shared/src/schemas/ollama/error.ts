/** Errors as Ollama writes them. */
import * as z from 'zod/mini';
import { described } from '../described.ts';

export const OllamaError = described(
  z.object({
    error: described(
      z.string(),
      'What is wrong with this request, and what to do about it.',
      'options.num_beams: must be a whole number from 1 to 8.',
    ),
  }),
  'An error in the form of Ollama’s API; also the last line of a stream that breaks.',
);
export type OllamaError = z.infer<typeof OllamaError>;
