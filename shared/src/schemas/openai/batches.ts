/** `/v1/batches`: many requests as the lines of a file. */
import * as z from 'zod/mini';
import { described } from '../described.ts';
import {
  jobTimes,
  LineError,
  Metadata,
  status,
  WebhookReply,
  WebhookRequest,
} from '../jobs/parts.ts';
import { ExpiresAfter, pageMembers } from './files.ts';
import { ResponseUsage } from './responses.ts';

/** Routes that the lines of a batch may ask. */
export const BATCH_ENDPOINTS = [
  '/v1/chat/completions',
  '/v1/responses',
  '/v1/embeddings',
  '/v1/captions',
  '/v1/answers',
  '/v1/match',
] as const;

const endpoint = described(
  z.enum(BATCH_ENDPOINTS),
  'The route that each line asks.',
  '/v1/chat/completions',
);
const window = '24h';

export const BatchRequest = described(
  z.strictObject({
    input_file_id: described(z.string(), 'The file of its lines.', 'file-3f0c9d1e5a7b48c2'),
    endpoint,
    completion_window: described(
      z.literal(window, { error: `must be ${window}` }),
      'Always `24h`: what has not been run by then has expired.',
    ),
    metadata: z.optional(Metadata),
    output_expires_after: described(
      z.optional(ExpiresAfter),
      'How long what it wrote is stored, from the end of its window on; 30 days where nothing is said.',
    ),
    webhook: z.optional(WebhookRequest),
  }),
  'Which lines are run, and by which route.',
);
export type BatchRequest = z.infer<typeof BatchRequest>;

const file = (what: string) =>
  described(z.nullable(z.string()), what, 'file-3f0c9d1e5a7b48c2-output');

export const Batch = described(
  z.object({
    id: described(z.string(), 'Its id.', 'batch_3f0c9d1e5a7b48c2'),
    object: described(z.literal('batch'), 'Always `batch`.'),
    endpoint,
    model: described(
      z.optional(z.nullable(z.string())),
      'The model of its lines, where it is known.',
      'blip2-scenes',
    ),
    errors: described(
      z.nullable(
        z.object({
          object: described(z.literal('list'), 'Always `list`.'),
          data: described(z.array(LineError), 'The first of them.'),
        }),
      ),
      'What is wrong with its lines, where it failed.',
    ),
    input_file_id: described(z.string(), 'The file of its lines.', 'file-3f0c9d1e5a7b48c2'),
    completion_window: described(z.string(), 'Always `24h`.', window),
    status,
    output_file_id: file(
      'The file with a line for each item that succeeded; null where there is none (yet).',
    ),
    error_file_id: file(
      'The file with a line for each item that did not; null where there is none (yet).',
    ),
    ...jobTimes,
    request_counts: described(
      z.object({
        total: described(z.int(), 'Its lines.', 1000),
        completed: described(z.int(), 'Those that succeeded.', 998),
        failed: described(z.int(), 'Those that failed.', 2),
      }),
      'How many lines there are, and how many have ended.',
    ),
    metadata: described(z.nullable(Metadata), 'What was sent with it.'),
    usage: described(
      z.nullable(ResponseUsage),
      'Tokens of all items so far; null where nothing is known of them.',
    ),
    webhook: described(
      z.optional(z.nullable(WebhookReply)),
      'Where an event is sent when it has ended.',
    ),
  }),
  'A batch. Its lines are worked on when nobody waits for the GPU worker.',
);
export type Batch = z.infer<typeof Batch>;

export const BatchList = described(
  z.object({ ...pageMembers, data: described(z.array(Batch), 'The newest first.') }),
  'Batches of this key.',
);
export type BatchList = z.infer<typeof BatchList>;

export const BatchPath = z.object({
  batch_id: described(z.string(), 'Id of the batch.', 'batch_3f0c9d1e5a7b48c2'),
});
