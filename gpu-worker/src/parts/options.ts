/** Command line and options of `npm run part`. */
import { choice, text, wholeNumber } from '@blip2/shared/config/kinds';
import { option } from '@blip2/shared/config/option';
import { WORKER_OPTIONS } from '../config.ts';

const group = 'Part';

// Nobody calls it, and it takes nothing from a queue.
const {
  host: _host,
  port: _port,
  secrets: _secrets,
  attached: _attached,
  trace: _trace,
  otlpEndpoint: _collector,
  tracesSampler: _sampler,
  tracesRatio: _ratio,
  hangSeconds: _hang,
  jobsQueueUrl: _queue,
  jobsDeadLetterUrl: _dead,
  jobsEdgeUrl: _edge,
  jobsSecret: _secret,
  jobsEndpoint: _endpoint,
  jobsRegion: _region,
  jobsVisibilityS: _visibility,
  ...computing
} = WORKER_OPTIONS;

export const PART_TASKS = ['caption', 'answer', 'embeddings', 'match'] as const;

export const PART_OPTIONS = {
  manifest: option({
    flag: 'manifest',
    kind: text('FILE'),
    group,
    help: 'a line for each image: a file, or s3://bucket/key; {part} in it stands for the number of the part',
  }),
  output: option({
    flag: 'output',
    kind: text('FOLDER'),
    group,
    help: 'where part-00000.jsonl is written: a folder, or s3://bucket/prefix',
  }),
  part: option({
    flag: 'part',
    env: 'JOB_COMPLETION_INDEX',
    alias: 'AWS_BATCH_JOB_ARRAY_INDEX',
    kind: wholeNumber(0, 9_999_999),
    group,
    help: 'number of the part, from 0; the variables are those of Kubernetes and AWS Batch',
  }),
  partItems: option({
    flag: 'part-items',
    kind: wholeNumber(1, 1_000_000),
    default: 100_000,
    group,
    help: 'lines of a part; the same for all parts of a manifest',
  }),
  task: option({
    flag: 'task',
    kind: choice(...PART_TASKS),
    default: 'caption',
    group,
    help: 'what is done with each image',
  }),
  settings: option({
    flag: 'settings',
    kind: text('JSON'),
    default: '{}',
    group,
    help: `members of each request, as the task's own route has them: --settings '{"max_tokens": 20}'; those of a line win`,
  }),
  checkpointItems: option({
    flag: 'checkpoint-items',
    kind: wholeNumber(1, 100_000),
    default: 1000,
    group,
    help: 'lines after which what is done is safe from a kill: in a folder, from a failing machine',
  }),
};

export const PART_PROGRAM = {
  command: 'npm run part --',
  summary:
    'Runs one part of a manifest of images, without queue and edge, and writes a line of results for each of its lines. Killed at any time, it goes on where it was; a part whose output is there is done.',
  options: { ...PART_OPTIONS, ...computing },
  family: WORKER_OPTIONS,
};
