/** Errors as OpenAI's API writes them. */
import * as z from 'zod/mini';
import { described } from '../described.ts';

export const OpenAiError = described(
  z.object({
    error: described(
      z.object({
        message: described(
          z.string(),
          'What is wrong with this request, and what to do about it.',
          'max_tokens: must be a whole number from 1 to 32768.',
        ),
        type: described(
          z.string(),
          'The kind of error: `invalid_request_error`, `rate_limit_error` or `server_error`.',
          'invalid_request_error',
        ),
        param: described(
          z.nullable(z.string()),
          'The member of the request that is wrong, where it is one.',
          'max_tokens',
        ),
        code: described(
          z.nullable(z.string()),
          'Which problem it is, stable: as the last part of the `type` of our own problems, or what OpenAI calls the same.',
          'invalid_request',
        ),
      }),
      'The error.',
    ),
  }),
  'An error in the form of OpenAI’s API.',
);
export type OpenAiError = z.infer<typeof OpenAiError>;
