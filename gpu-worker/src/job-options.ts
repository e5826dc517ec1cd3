/** Options of the items of jobs that the GPU worker takes from a queue. */
import { httpUrl, secrets, text, wholeNumber } from '@blip2/shared/config/kinds';
import { option, type Values } from '@blip2/shared/config/option';
import { ConfigError } from '@blip2/shared/config/read-options';

const group = 'Jobs';

/** How long items that run may take when the worker is stopped; what is not finished by then goes to other workers. */
export const FINISH_MS = 20_000;

export const JOB_OPTIONS = {
  jobsQueueUrl: option({
    env: 'BLIP2_JOBS_QUEUE_URL',
    kind: httpUrl(),
    defaultText: 'none: no jobs are run',
    group,
    help: "URL of the SQS queue with the items of jobs; AWS's usual variables have the credentials",
  }),
  jobsDeadLetterUrl: option({
    env: 'BLIP2_JOBS_DEAD_LETTER_URL',
    kind: httpUrl(),
    defaultText: 'none',
    group,
    help: 'URL of the queue that gets what came back from the first one too often: each such item is committed as given up',
  }),
  jobsEdgeUrl: option({
    env: 'BLIP2_JOBS_EDGE_URL',
    kind: httpUrl(),
    defaultText: 'none',
    group,
    help: 'address of the edge, to which results are committed',
  }),
  jobsSecret: option({
    env: 'BLIP2_JOBS_SECRET',
    kind: secrets(),
    secret: true,
    defaultText: 'none',
    group,
    help: 'signs what is sent to the edge: one of its JOBS_SECRET, 32 characters or more; of two with a comma between them, the first',
  }),
  jobsEndpoint: option({
    env: 'BLIP2_JOBS_ENDPOINT',
    kind: httpUrl(),
    defaultText: 'the host of their URL',
    group,
    help: 'where the queues are served, if not at the hosts of their URLs, as with servers for development',
  }),
  jobsRegion: option({
    env: 'BLIP2_JOBS_REGION',
    kind: text('REGION'),
    default: 'us-east-1',
    group,
    help: 'AWS region of the queues',
  }),
  jobsVisibilityS: option({
    env: 'BLIP2_JOBS_VISIBILITY_S',
    kind: wholeNumber(2, 43_200),
    default: 45,
    group,
    help: 'after how many seconds others get what a worker had that was killed; one that runs asks for more three times as often',
  }),
};

/** Where items of jobs come from, and where their results go. */
export type JobsConfig = {
  queueUrl: string;
  /** Undefined where another program takes care of it, or none. */
  deadLetterUrl: string | undefined;
  edgeUrl: string;
  secret: string;
  endpoint: string | undefined;
  region: string;
  /** Seconds for which a message that was received is nobody else's; asked for again while its item runs. */
  visibilityS: number;
};

/**
 * What the options say of jobs; null where none are to be run.
 * @throws ConfigError that names what is missing where only some of it is set
 */
export function jobsConfigOf(options: Values<typeof JOB_OPTIONS>): JobsConfig | null {
  const { jobsQueueUrl, jobsDeadLetterUrl, jobsEdgeUrl, jobsSecret, jobsEndpoint } = options;
  const given = [jobsQueueUrl, jobsDeadLetterUrl, jobsEdgeUrl, jobsSecret, jobsEndpoint];
  if (given.every((value) => value === undefined)) return null;
  const [secret] = jobsSecret ?? [];
  if (jobsQueueUrl === undefined || jobsEdgeUrl === undefined || secret === undefined) {
    const needed = ['jobsQueueUrl', 'jobsEdgeUrl', 'jobsSecret'] as const;
    const missing = needed.filter((key) => options[key] === undefined);
    const names = missing.map((key) => JOB_OPTIONS[key].env).join(' and ');
    throw new ConfigError(`To run jobs, ${names} must be set too.`);
  }
  return {
    queueUrl: jobsQueueUrl,
    deadLetterUrl: jobsDeadLetterUrl,
    edgeUrl: jobsEdgeUrl,
    secret,
    endpoint: jobsEndpoint,
    region: options.jobsRegion,
    visibilityS: options.jobsVisibilityS,
  };
}
