/** The commands of `blip2`: what each is for, and its options. */
import { choice, several, text, toggle, wholeNumber } from '@blip2/shared/config/kinds';
import { option } from '@blip2/shared/config/option';
import type { Program } from '@blip2/shared/config/program';
import { RESULT_STATES } from '@blip2/shared/schemas/jobs/query';
import { JOB_TASKS } from '@blip2/shared/schemas/jobs/request';
import { JSON_OUTPUT, PROMPT, SERVICE, SETTINGS } from './options.ts';

const job = 'Job';
const settings = 'Settings';
const output = 'Output';

/** Cloudflare refuses bodies of more than 100 MB by its smaller plans. */
const MAX_FILE_BYTES = 90_000_000;
const MAX_ITEMS = 1_000_000;

const PACKS = {
  maxFileBytes: option({
    flag: 'max-file-bytes',
    kind: wholeNumber(2 ** 23, 2 ** 40),
    default: MAX_FILE_BYTES,
    group: job,
    help: 'bytes of one upload: more lines are another job',
  }),
  maxItems: option({
    flag: 'max-items',
    kind: wholeNumber(1, 4_000_000),
    default: MAX_ITEMS,
    group: job,
    help: 'items of one job: more of them are another',
  }),
};

const WATCH = option({
  flag: 'watch',
  kind: toggle(),
  default: false,
  group: job,
  help: 'wait for the end, with a bar',
});

export const CREATE = {
  command: 'blip2 jobs create',
  arguments: ['<source>…'],
  summary: 'Creates a job of many images, and prints its id.',
  details: `A source is an image, a folder (all images in it and its folders), a pattern in quotes ("photos/*.jpg"), a URL, or a
file of lines (.jsonl, .ndjson, .txt; - is standard input): each a URL, or JSON of an item as POST /v1/jobs takes it.
Items are named by their paths in the folder, else by path or URL.`,
  options: {
    task: option({
      flag: 'task',
      kind: choice(...JOB_TASKS),
      default: 'caption',
      group: job,
      help: 'what is done with each image',
    }),
    prefix: option({
      flag: 'prefix',
      kind: text('PREFIX'),
      group: job,
      help: "images of the operator's bucket whose keys begin so, in place of sources",
    }),
    ...PROMPT,
    question: option({
      flag: 'question',
      kind: text('TEXT'),
      group: settings,
      help: 'what is asked about each image',
    }),
    texts: option({
      flag: 'texts',
      kind: several('TEXT'),
      group: settings,
      help: 'a text that each image is compared with (match), several times',
    }),
    ...SETTINGS,
    metadata: option({
      flag: 'metadata',
      kind: several('NAME=VALUE'),
      default: [],
      group: job,
      help: 'a text of your own, several times',
    }),
    webhook: option({
      flag: 'webhook',
      kind: text('URL'),
      group: job,
      help: 'where an event is posted at the end',
    }),
    expiresAfter: option({
      flag: 'expires-after',
      kind: wholeNumber(60, 604_800),
      defaultText: 'a day',
      group: job,
      help: 'seconds after which what has not been run expires',
    }),
    cacheEmbeddings: option({
      flag: 'cache-embeddings',
      kind: toggle(),
      default: false,
      group: job,
      help: 'cache embeddings of its images for later requests',
    }),
    idempotencyKey: option({
      flag: 'idempotency-key',
      kind: text('KEY'),
      group: job,
      help: 'the same key and sources create one job, however often this is run',
    }),
    dryRun: option({
      flag: 'dry-run',
      kind: toggle(),
      default: false,
      group: job,
      help: 'say what it would cost, and run nothing',
    }),
    watch: WATCH,
    ...PACKS,
    ...JSON_OUTPUT,
    ...SERVICE,
  },
} satisfies Program;

export const LIST = {
  command: 'blip2 jobs list',
  summary: 'Lists jobs, the newest first.',
  options: {
    limit: option({
      flag: 'limit',
      kind: wholeNumber(1, 10_000),
      default: 20,
      group: output,
      help: 'most jobs',
    }),
    ...JSON_OUTPUT,
    ...SERVICE,
  },
} satisfies Program;

export const STATUS = {
  command: 'blip2 jobs status',
  arguments: ['<id>…'],
  summary: 'Says how far jobs are, and what their webhooks were sent.',
  options: { ...JSON_OUTPUT, ...SERVICE },
} satisfies Program;

export const WATCH_JOB = {
  command: 'blip2 jobs watch',
  arguments: ['<id>…'],
  summary: 'Waits for the end of jobs; ends with 1 where items failed or were not run.',
  options: { ...JSON_OUTPUT, ...SERVICE },
} satisfies Program;

export const RESULTS = {
  command: 'blip2 jobs results',
  arguments: ['<id>'],
  summary: 'Writes what has ended, in the order of the items.',
  details:
    'A download that broke off goes on where it was, also in another run with the same --output.',
  options: {
    format: option({
      flag: 'format',
      kind: choice('jsonl', 'csv'),
      default: 'jsonl',
      group: output,
      help: 'JSON lines, or a table',
    }),
    status: option({
      flag: 'status',
      kind: choice(...RESULT_STATES),
      default: 'all',
      group: output,
      help: 'which items',
    }),
    output: option({
      flag: 'output',
      short: 'o',
      kind: text('FILE'),
      defaultText: 'standard output',
      group: output,
      help: 'where to',
    }),
    ...SERVICE,
  },
} satisfies Program;

export const CANCEL = {
  command: 'blip2 jobs cancel',
  arguments: ['<id>…'],
  summary: 'Cancels jobs: what is running ends, the rest is not run.',
  options: { ...JSON_OUTPUT, ...SERVICE },
} satisfies Program;

export const DELETE = {
  command: 'blip2 jobs delete',
  arguments: ['<id>…'],
  summary: 'Deletes jobs that have ended, with their lines, images and results.',
  options: { ...JSON_OUTPUT, ...SERVICE },
} satisfies Program;

export const RETRY = {
  command: 'blip2 jobs retry',
  arguments: ['<id>'],
  summary: 'Creates another job of the items that failed or were not run, and prints its id.',
  options: {
    webhook: option({
      flag: 'webhook',
      kind: text('URL'),
      defaultText: 'that of the job',
      group: job,
      help: 'where an event is posted at the end',
    }),
    noWebhook: option({
      flag: 'no-webhook',
      kind: toggle(),
      default: false,
      group: job,
      help: 'post no event, though the job has a webhook',
    }),
    watch: WATCH,
    ...JSON_OUTPUT,
    ...SERVICE,
  },
} satisfies Program;

export const RUN_BATCH = {
  command: 'blip2 run-batch',
  summary:
    "Runs a file of requests as batches, and writes a file of replies in their order; ends with 1 where some failed. Lines are those of vLLM's command of this name, and of OpenAI's Batch API.",
  details: 'Lines may ask several routes: each is a batch of its own.',
  options: {
    input: option({
      flag: 'input-file',
      short: 'i',
      kind: text('FILE'),
      group: job,
      help: 'file or URL of lines {"custom_id", "method", "url", "body"}; - is standard input',
    }),
    output: option({
      flag: 'output-file',
      short: 'o',
      kind: text('FILE'),
      group: job,
      help: 'file of the replies; - is standard output',
    }),
    ...PACKS,
    ...SERVICE,
  },
} satisfies Program;

export const CAPTION = {
  command: 'blip2 caption',
  arguments: ['<image>…'],
  summary: 'Describes images: files or URLs; - is standard input.',
  options: { ...PROMPT, ...SETTINGS, ...JSON_OUTPUT, ...SERVICE },
} satisfies Program;

export const ASK = {
  command: 'blip2 ask',
  arguments: ['<image>', '<question>'],
  summary: 'Answers a question about an image: a file or a URL; - is standard input.',
  options: { ...SETTINGS, ...JSON_OUTPUT, ...SERVICE },
} satisfies Program;
