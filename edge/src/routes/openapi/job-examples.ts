/** Examples of jobs, of batches and of their files: what the embedded model says of an image of the repository. */
import type * as z from 'zod/mini';
import type { Examples } from './openai-examples.ts';
import type { SCHEMAS } from './schemas.ts';

type Input<Name extends keyof typeof SCHEMAS> = z.input<(typeof SCHEMAS)[Name]>;
type ExamplesOf<Name extends keyof typeof SCHEMAS> = { [N in Name]: Examples<Input<N>> };

const sha256 = 'f4112ab67441c8c64f31bf11d8bb81a051ae8e292af3bca8e4862cd950ecf70f';
/** 32 digits at random, and 64 of the object. */
const random = `3f0c9d1e5a7b48c2${'9'.repeat(16)}${'0123456789abcdef'.repeat(4)}`;
const started = 1_795_780_800;

const times = {
  created_at: started,
  in_progress_at: started + 1,
  expires_at: started + 86_400,
  finalizing_at: null,
  completed_at: null,
  failed_at: null,
  expired_at: null,
  cancelling_at: null,
  cancelled_at: null,
};

const job: Input<'Job'> = {
  id: `job_${random}`,
  object: 'job',
  task: 'caption',
  status: 'in_progress',
  items: { total: 1000, completed: 640, failed: 1, canceled: 0 },
  rate_per_second: 32.5,
  seconds_left: 12,
  errors: [],
  ...times,
  usage: { input_tokens: 21_120, output_tokens: 5760, total_tokens: 26_880 },
  metadata: { album: '17' },
  retry_of: null,
  webhook: null,
};

const file: Input<'OpenAiFile'> = {
  id: `file-${random}`,
  object: 'file',
  bytes: 8192,
  created_at: started,
  expires_at: started + 2_592_000,
  filename: 'batch.jsonl',
  purpose: 'batch',
  status: 'processed',
};

const batch: Input<'Batch'> = {
  id: `batch_${random}`,
  object: 'batch',
  endpoint: '/v1/chat/completions',
  errors: null,
  input_file_id: file.id,
  completion_window: '24h',
  status: 'completed',
  output_file_id: `file-${random}-output`,
  error_file_id: `file-${random}-errors`,
  ...times,
  finalizing_at: started + 60,
  completed_at: started + 61,
  request_counts: { total: 1000, completed: 998, failed: 2 },
  metadata: null,
  usage: {
    input_tokens: 33_000,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: 9000,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 42_000,
  },
  webhook: null,
};

export const JOB_EXAMPLES: ExamplesOf<
  | 'Batch'
  | 'BatchList'
  | 'BatchRequest'
  | 'Job'
  | 'JobDeleted'
  | 'JobDeliveryList'
  | 'JobEstimate'
  | 'JobList'
  | 'JobRequest'
  | 'OpenAiFile'
  | 'OpenAiFileDeleted'
  | 'OpenAiFileList'
  | 'RetryRequest'
> = {
  JobRequest: {
    items: {
      summary: 'Captions of images that were sent before',
      value: {
        task: 'caption',
        settings: { max_tokens: 20 },
        items: [{ id: 'one', image: sha256 }],
      },
    },
    answers: {
      summary: 'The same question about each image, another about one',
      value: {
        task: 'answer',
        settings: { question: 'what is in the picture?' },
        items: [
          { id: 'one', image: { sha256 } },
          { id: 'two', image: { sha256 }, question: 'is there an octopus?' },
        ],
      },
    },
    dry_run: {
      summary: 'What it would cost',
      value: { task: 'caption', dry_run: true, items: [{ image: sha256 }] },
    },
  },
  Job: { running: { summary: 'A job that is worked on', value: job } },
  JobList: {
    page: {
      summary: 'The only job',
      value: {
        object: 'list',
        data: [job],
        first_id: job.id,
        last_id: job.id,
        has_more: false,
      },
    },
  },
  JobDeleted: {
    deleted: { summary: 'It is gone', value: { id: job.id, object: 'job', deleted: true } },
  },
  RetryRequest: {
    webhook: {
      summary: 'With another webhook',
      value: { webhook: { url: 'https://hooks.example.org/blip2' } },
    },
    none: { summary: 'Without a webhook', value: { webhook: null } },
  },
  JobEstimate: {
    measured: {
      summary: 'A thousand images, of which one is known',
      value: {
        object: 'job.estimate',
        task: 'caption',
        items: 1000,
        known_images: 1,
        gpu_seconds: 9.4,
        waiting: 0,
        based_on: { images_looked_up: 200, requests: 5120, seconds_per_item: 0.0094 },
      },
    },
  },
  JobDeliveryList: {
    retried: {
      summary: 'A webhook that took an event at the second try',
      value: {
        object: 'list',
        data: [
          {
            id: 'evt_3f0c9d1e5a7b48c2',
            type: 'job.completed',
            attempt: 1,
            at: started + 61,
            status: 503,
            error: null,
            next_attempt_at: started + 66,
          },
          {
            id: 'evt_3f0c9d1e5a7b48c2',
            type: 'job.completed',
            attempt: 2,
            at: started + 66,
            status: 200,
            error: null,
            next_attempt_at: null,
          },
        ],
      },
    },
  },
  OpenAiFile: { file: { summary: 'Lines of a batch', value: file } },
  OpenAiFileList: {
    page: {
      summary: 'The only file',
      value: {
        object: 'list',
        data: [file],
        first_id: file.id,
        last_id: file.id,
        has_more: false,
      },
    },
  },
  OpenAiFileDeleted: {
    deleted: { summary: 'It is gone', value: { id: file.id, object: 'file', deleted: true } },
  },
  BatchRequest: {
    chat: {
      summary: 'The lines of a file, each for the chat',
      value: {
        input_file_id: file.id,
        endpoint: '/v1/chat/completions',
        completion_window: '24h',
      },
    },
  },
  Batch: { completed: { summary: 'A batch that is complete', value: batch } },
  BatchList: {
    page: {
      summary: 'The only batch',
      value: {
        object: 'list',
        data: [batch],
        first_id: batch.id,
        last_id: batch.id,
        has_more: false,
      },
    },
  },
};

/** Lines of results. */
export const RESULT_LINE_EXAMPLES: Examples<string> = {
  lines: {
    summary: 'An item that has a result, and one that has an error',
    value: `${[
      {
        id: 'one',
        cursor: '0:0',
        status: 200,
        result: { caption: 'a pizza above an octopus on a gray background' },
        error: null,
      },
      {
        id: 'two',
        cursor: '0:1',
        status: 400,
        result: null,
        error: { code: 'invalid-image', message: 'These bytes are not an image.' },
      },
    ]
      .map((line) => JSON.stringify(line))
      .join('\n')}\n`,
  },
};

/** Events of a job that is watched. */
export const JOB_EVENT_EXAMPLES = {
  'job-events': {
    watched: {
      summary: 'A job that ends',
      value: [
        ['progress', job],
        [
          'done',
          {
            ...job,
            status: 'completed',
            items: { total: 1000, completed: 999, failed: 1, canceled: 0 },
            seconds_left: null,
            finalizing_at: started + 60,
            completed_at: started + 61,
          },
        ],
      ]
        .map(([event, data]) => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
        .join(''),
    },
  },
};
