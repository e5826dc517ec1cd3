/** A job as it is shown, and what it would cost. */
import * as z from 'zod/mini';
import { Problem } from '../../errors.ts';
import { described } from '../described.ts';
import { pageMembers } from '../openai/files.ts';
import { jobTimes, jobUsage, LineError, Metadata, status, WebhookReply } from './parts.ts';
import { JOB_TASKS } from './request.ts';

const jobId = described(
  z.string(),
  'Id of the job: `job_` and what nobody can guess.',
  'job_3f0c9d1e5a7b48c2',
);

export const JobPath = z.object({ job_id: jobId });

const task = described(z.enum(JOB_TASKS), 'What is done with each image.', 'caption');

export const Job = described(
  z.object({
    id: jobId,
    object: described(z.literal('job'), 'Always `job`.'),
    task,
    status,
    items: described(
      z.object({
        total: described(z.int(), 'How many there are; 0 until they have been read.', 1000),
        completed: described(z.int(), 'Those that have a result.', 640),
        failed: described(z.int(), 'Those that have an error, for good.', 1),
        canceled: described(z.int(), 'Those that were not run, since the job ended before.', 0),
      }),
      'How many items there are, and how many have ended.',
    ),
    rate_per_second: described(
      z.nullable(z.number()),
      'Items that end in a second, of late; null where nothing is known of it.',
      32.5,
    ),
    seconds_left: described(
      z.nullable(z.int()),
      'How long the rest takes at this rate; null where nothing is known of it.',
      11,
    ),
    errors: described(
      z.array(LineError),
      'What is wrong with the lines of its input, where it failed: the first of them.',
    ),
    ...jobTimes,
    usage: jobUsage,
    metadata: Metadata,
    retry_of: described(
      z.nullable(z.string()),
      'The job whose failed items it runs again.',
      'job_3f0c9d1e5a7b48c2',
    ),
    webhook: described(z.nullable(WebhookReply), 'Where an event is sent when it has ended.'),
  }),
  'A job. It is worked on when nobody waits for the GPU worker.',
);
export type Job = z.infer<typeof Job>;

export const JobDeleted = described(
  z.object({
    id: jobId,
    object: described(z.literal('job'), 'Always `job`.'),
    deleted: described(z.literal(true), 'Always true.'),
  }),
  'What is left of a deleted job.',
);
export type JobDeleted = z.infer<typeof JobDeleted>;

export const JobList = described(
  z.object({ ...pageMembers, data: described(z.array(Job), 'The newest first.') }),
  'Jobs of this key.',
);
export type JobList = z.infer<typeof JobList>;

/** An event of a job that is watched. */
export const JobEvent = described(
  z.discriminatedUnion('event', [
    z.object({
      event: described(z.literal('progress'), 'Name of the event.'),
      data: Job,
    }),
    z.object({ event: described(z.literal('done'), 'Name of the event.'), data: Job }),
    z.object({ event: described(z.literal('error'), 'Name of the event.'), data: Problem }),
  ]),
  '`progress` each time that something has changed, then `done`, or `error`.',
);

/** What a job would cost. */
export const JobEstimate = described(
  z.object({
    object: described(z.literal('job.estimate'), 'Always `job.estimate`.'),
    task,
    items: described(z.int(), 'How many items there are.', 1000),
    known_images: described(
      z.nullable(z.int()),
      'Items whose embeddings are cached, as far as the request names their images by hash or has their bytes; null where they are not looked up.',
      1,
    ),
    gpu_seconds: described(
      z.nullable(z.number()),
      'Expected seconds of the GPU; null where `based_on` has no measured time.',
      9.4,
    ),
    waiting: described(
      z.nullable(z.int()),
      'Requests that wait or run at the GPU worker now, which go first; null where it did not answer.',
      0,
    ),
    based_on: described(
      z.object({
        images_looked_up: described(
          z.int(),
          'Items of which it was looked up whether they are known.',
          200,
        ),
        requests: described(
          z.nullable(z.int()),
          'Requests that the GPU worker has served since it started.',
          5120,
        ),
        seconds_per_item: described(
          z.nullable(z.number()),
          'Seconds that its engine took for each of them, on average.',
          0.0094,
        ),
      }),
      'What the expectation is made of.',
    ),
  }),
  'What a job would cost.',
);
export type JobEstimate = z.infer<typeof JobEstimate>;

export const JobDelivery = z.object({
  id: described(
    z.string(),
    'Id of the event, the same in each try: the header `webhook-id`.',
    'evt_3f0c9d1e5a7b48c2',
  ),
  type: described(z.string(), 'Which end it is.', 'job.completed'),
  attempt: described(z.int(), 'Which try it was, from 1.', 1),
  at: described(z.int(), 'When it was, in seconds since 1970.', 1_795_780_860),
  status: described(z.nullable(z.int()), 'Status of the reply; null where none came.', 200),
  error: described(z.nullable(z.string()), 'Why none came, or what was wrong with it.'),
  next_attempt_at: described(
    z.nullable(z.int()),
    'When it is tried again, in seconds since 1970; null where it is not.',
    1_795_780_865,
  ),
});

export const JobDeliveryList = described(
  z.object({
    object: described(z.literal('list'), 'Always `list`.'),
    data: described(z.array(JobDelivery), 'Each try, the first first.'),
  }),
  'What was sent to the webhook of a job.',
);
export type JobDeliveryList = z.infer<typeof JobDeliveryList>;

/** A line of results. */
export const JobResultLine = described(
  z.object({
    id: described(z.string(), 'The item’s id, or its number.', 'image-17'),
    cursor: described(
      z.string(),
      'Its place: the number of its part and its number in it, from 0. As `cursor` of the next request, that one goes on behind it.',
      '0:17',
    ),
    status: described(
      z.nullable(z.int()),
      'The HTTP status that the request alone would have got; null where it was not run.',
      200,
    ),
    result: described(
      z.nullable(z.looseObject({})),
      'The reply of the task’s own route; null where it failed.',
    ),
    error: described(
      z.nullable(
        z.object({
          code: described(
            z.string(),
            'The problem, by the last part of its `type`.',
            'invalid-image',
          ),
          message: described(z.string(), 'What is wrong, and what to do about it.'),
        }),
      ),
      'Why there is no result; null where there is one.',
    ),
  }),
  'What became of an item.',
);
export type JobResultLine = z.infer<typeof JobResultLine>;
