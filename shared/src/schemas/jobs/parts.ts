/** Members that native jobs and OpenAI's batches share. */
import * as z from 'zod/mini';
import { described } from '../described.ts';

export const MAX_METADATA = 16;

/** Texts by name, which are stored and shown and mean nothing here. */
export const Metadata = described(
  z
    .record(z.string().check(z.minLength(1), z.maxLength(64)), z.string().check(z.maxLength(512)))
    .check(
      z.refine(
        (pairs) => Object.keys(pairs).length <= MAX_METADATA,
        `must have at most ${MAX_METADATA} members`,
      ),
    ),
  `Up to ${MAX_METADATA} texts of your own, of up to 512 characters, under names of up to 64.`,
  { album: '17' },
);

/** Ends of a job that its webhook may be sent. */
export const JOB_EVENTS = ['completed', 'failed', 'cancelled', 'expired'] as const;
export type JobEvent = (typeof JOB_EVENTS)[number];

/** 24 to 64 bytes in base64, as Standard Webhooks has them. */
const secret = z.string().check(
  z.regex(/^whsec_[A-Za-z0-9+/]{32,88}={0,2}$/, 'must be whsec_ and 24 to 64 bytes in base64'),
  z.refine((text) => {
    const base64 = text.slice('whsec_'.length);
    return base64.length % 4 === 0;
  }, 'must be whsec_ and whole base64, with its padding'),
);

export const WebhookRequest = described(
  z.strictObject({
    url: described(
      z.string(),
      'Where the event is posted: an http(s) URL of a public host. Redirects are not followed.',
      'https://hooks.example.org/blip2',
    ),
    secrets: described(
      z.optional(z.array(secret).check(z.minLength(1), z.maxLength(4))),
      'What events are signed with, `whsec_…`: each of them signs, so that one can take the place of another. Without it, one is made, and shown in this reply only.',
      ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo='],
    ),
    events: described(
      z.optional(z.array(z.enum(JOB_EVENTS)).check(z.minLength(1), z.maxLength(JOB_EVENTS.length))),
      'Which ends are sent; without it, all of them.',
      ['completed', 'failed'],
    ),
  }),
  'Where an event is sent when it has ended, by the rules of Standard Webhooks.',
);
export type WebhookRequest = z.infer<typeof WebhookRequest>;

/** The webhook of a job, as it is shown. */
export const WebhookReply = described(
  z.object({
    url: described(z.string(), 'Where events are posted.', 'https://hooks.example.org/blip2'),
    events: described(z.array(z.string()), 'The types of events that are.', ['job.completed']),
    secret: described(
      z.optional(z.string()),
      'The secret that was made for it: only in the reply that created the job.',
      'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=',
    ),
  }),
  'Where an event is sent when it has ended.',
);

/** How a job, or a batch, is doing. */
export const JOB_STATES = [
  'validating',
  'in_progress',
  'finalizing',
  'completed',
  'failed',
  'cancelling',
  'cancelled',
  'expired',
] as const;

const when = (what: string) =>
  described(
    z.nullable(z.int()),
    `When ${what}, in seconds since 1970; null before.`,
    1_795_780_860,
  );

/** Times of a job, in seconds since 1970. */
export const jobTimes = {
  created_at: described(z.int(), 'When it was created, in seconds since 1970.', 1_795_780_800),
  in_progress_at: when('its lines had been read and its work began'),
  expires_at: described(
    z.nullable(z.int()),
    'When it expires if it has not ended, in seconds since 1970.',
    1_795_867_200,
  ),
  finalizing_at: when('all of its items had ended and its results were put together'),
  completed_at: when('it was complete'),
  failed_at: when('it failed'),
  expired_at: when('it expired'),
  cancelling_at: when('somebody canceled it'),
  cancelled_at: when('it was canceled'),
};

export const status = described(
  z.enum(JOB_STATES),
  '`validating` while its lines are read, `in_progress` while they are worked on, `finalizing` while results are put together; then `completed`, `failed` (nothing ran, `errors` says why), `cancelled` or `expired`.',
  'in_progress',
);

/** What is wrong with a line of the input. */
export const LineError = z.object({
  line: described(z.nullable(z.int()), 'Its number, from 1.', 17),
  code: described(z.string(), 'What kind of fault it is.', 'duplicate_custom_id'),
  message: described(z.string(), 'What is wrong, and what to do about it.'),
  param: described(z.nullable(z.string()), 'The member that is wrong.', 'custom_id'),
});

export const jobUsage = described(
  z.nullable(
    z.object({
      input_tokens: described(z.int(), 'Of all items, image positions too.', 33_000),
      output_tokens: described(z.int(), 'Of all items.', 9000),
      total_tokens: described(z.int(), 'Their sum.', 42_000),
    }),
  ),
  'Tokens so far; null where nothing is known of them.',
);
