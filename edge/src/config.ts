/** Options of the Worker: variables that are declared here, read once, and passed down as a value. */
import { MAX_LIMIT } from '@blip2/shared/api-key';
import {
  accessToken,
  bearerToken,
  headerName,
  headerText,
  httpUrl,
  secrets,
  text,
  toggle,
  wholeNumber,
  wholeNumberOrNone,
} from '@blip2/shared/config/kinds';
import { option, type Values } from '@blip2/shared/config/option';
import { readOptions } from '@blip2/shared/config/read-options';
import { type WorkerAddress, workerAddresses } from '@blip2/shared/config/worker-addresses';

const group = 'Edge Worker';

const MEBIBYTE = 2 ** 20;
const HOUR_MS = 3_600_000;

/** A limit of one caller. */
const limit = (env: string, most: number, help: string) =>
  option({ env, kind: wholeNumberOrNone(1, MAX_LIMIT), default: most, group, help });

/** What one caller may use; `none` is no limit. Records of keys have limits of their own. */
export const LIMIT_OPTIONS = {
  requestsPerMinute: limit('REQUESTS_PER_MINUTE', 300, 'requests a minute of one key'),
  tokensPerMinute: limit(
    'TOKENS_PER_MINUTE',
    60_000,
    'tokens a minute of one key, of prompts and of what is generated',
  ),
  imagesPerDay: limit(
    'IMAGES_PER_DAY',
    10_000,
    'images a day (UTC) that are encoded for one key: those that are cached cost none',
  ),
  openStreams: limit('OPEN_STREAMS', 16, 'streams that one key may have open at a time'),
  anonymousRequestsPerMinute: limit(
    'ANONYMOUS_REQUESTS_PER_MINUTE',
    60,
    'requests a minute of one address, where everybody is let in',
  ),
  anonymousTokensPerMinute: limit(
    'ANONYMOUS_TOKENS_PER_MINUTE',
    12_000,
    'tokens a minute of one address',
  ),
  anonymousImagesPerDay: limit(
    'ANONYMOUS_IMAGES_PER_DAY',
    1000,
    'images a day that are encoded for one address',
  ),
  anonymousOpenStreams: limit(
    'ANONYMOUS_OPEN_STREAMS',
    4,
    'streams that one address may have open at a time',
  ),
};

export const EDGE_OPTIONS = {
  gpuWorkerUrl: option({
    env: 'GPU_WORKER_URL',
    kind: httpUrl(),
    default: 'http://127.0.0.1:8788',
    group,
    help: 'base URL of the GPU worker',
  }),
  gpuWorkers: option({
    env: 'GPU_WORKER_URLS',
    kind: workerAddresses(),
    default: [],
    defaultText: 'the one at GPU_WORKER_URL',
    group,
    help: 'base URLs of several GPU workers, in place of GPU_WORKER_URL: https://a.example weight=2 zone=EU, https://b.example. Requests about one image go to one worker, by its weight; those from a continent to workers of that zone first',
  }),
  gpuWorkerSecrets: option({
    env: 'GPU_WORKER_SECRET',
    kind: secrets(),
    default: [],
    defaultText: 'none',
    secret: true,
    group,
    help: 'secret that requests to GPU workers are signed with; of two with a comma between them the first signs. The same as BLIP2_WORKER_SECRET of the workers',
  }),
  gpuAccessToken: option({
    env: 'GPU_ACCESS_TOKEN',
    kind: accessToken(),
    secret: true,
    group,
    help: 'service token of Cloudflare Access, where that is before the GPU workers: its client id and its client secret, with a colon between them',
  }),
  hedgeRequests: option({
    env: 'HEDGE_REQUESTS',
    kind: toggle(),
    default: false,
    group,
    help: 'whether a request that takes longer to begin than 95 % of all is sent to a second GPU worker as well, and the first to begin replies',
  }),
  allowAnonymous: option({
    env: 'ALLOW_ANONYMOUS',
    kind: toggle(),
    default: false,
    group,
    help: 'whether everybody may use the service without a key; keys are then not read',
  }),
  allowAnonymousDelete: option({
    env: 'ALLOW_ANONYMOUS_DELETE',
    kind: toggle(),
    default: false,
    group,
    help: 'whether callers without a key may delete what is remembered of an image, which is everybody’s',
  }),
  maxImageBytes: option({
    env: 'MAX_IMAGE_BYTES',
    kind: wholeNumber(1, 2 ** 31),
    default: 20 * MEBIBYTE,
    group,
    help: 'largest image accepted, bytes',
  }),
  maxBodyBytes: option({
    env: 'MAX_BODY_BYTES',
    kind: wholeNumber(1, 2 ** 31),
    default: 30 * MEBIBYTE,
    group,
    help: 'largest JSON or multipart body accepted, bytes',
  }),
  maxHeldBytes: option({
    env: 'MAX_HELD_BYTES',
    kind: wholeNumber(1, 2 ** 40),
    default: 48 * MEBIBYTE,
    group,
    help: 'most bytes of bodies, without the first 64 KiB of each, that one instance of the Worker reads at a time',
  }),
  deadlineMs: option({
    env: 'REQUEST_DEADLINE_MS',
    kind: wholeNumber(1, HOUR_MS),
    default: 30_000,
    group,
    help: 'time after which a request is given up, milliseconds from its arrival',
  }),
  requestsPerWorker: option({
    env: 'MAX_REQUESTS_PER_WORKER',
    kind: wholeNumberOrNone(1, 1_000_000),
    default: null,
    group,
    help: 'requests that one instance of the Worker has at one address of GPU_WORKER_URLS at a time, or none: further ones are refused before their images are read. What a worker takes is BLIP2_MAX_SLOTS and BLIP2_QUEUE_LIMIT together; behind a balancer, that of all its workers. npm start sets it',
  }),
  restartMs: option({
    env: 'GPU_WORKER_RESTART_MS',
    kind: wholeNumber(0, HOUR_MS),
    default: 5000,
    group,
    help: 'how long requests wait for a GPU worker that has just gone, before they get 503, milliseconds; 0 does not wait',
  }),
  allowPrivateImageUrls: option({
    env: 'ALLOW_PRIVATE_IMAGE_URLS',
    kind: toggle(),
    default: false,
    group,
    help: 'whether images are also fetched from private addresses, for tests',
  }),
  imageUserAgent: option({
    env: 'IMAGE_USER_AGENT',
    kind: headerText('NAME'),
    default: 'blip2-edge/0.1 (+https://blip2-edge.example/contact)',
    group,
    help: 'User-Agent of requests for image URLs; put an address in it at which you can be reached, as some hosts demand',
  }),
  clientAddressHeader: option({
    env: 'CLIENT_ADDRESS_HEADER',
    kind: headerName(),
    default: 'cf-connecting-ip',
    group,
    help: 'header in which whoever stands in front writes the address of the caller, over what the caller wrote; none where nobody does',
  }),
  clientAddressHops: option({
    env: 'CLIENT_ADDRESS_HOPS',
    kind: wholeNumber(1, 16),
    default: 1,
    group,
    help: 'how many of your own proxies add to that header: the caller is so many addresses from its end',
  }),
  publicUrl: option({
    env: 'PUBLIC_URL',
    kind: httpUrl(),
    group,
    help: 'base URL by which clients reach the service, for the addresses in its replies, where a proxy hides it; else that of each request',
  }),
  ...LIMIT_OPTIONS,
  limitsFailOpen: option({
    env: 'LIMITS_FAIL_OPEN',
    kind: toggle(),
    default: false,
    group,
    help: 'whether requests are let in, uncounted, while their limits cannot be looked up; else they get 503',
  }),
  cacheTimeoutMs: option({
    env: 'CACHE_TIMEOUT_MS',
    kind: wholeNumber(1, HOUR_MS),
    default: 2000,
    group,
    help: 'time after which a cache, or what counts limits, has failed if it has not replied, milliseconds',
  }),
  embeddingTtlDays: option({
    env: 'EMBEDDING_TTL_DAYS',
    kind: wholeNumber(1, 3650),
    default: 30,
    group,
    help: 'days after which cached embeddings that nobody asks for are deleted',
  }),
  replyTtlHours: option({
    env: 'REPLY_TTL_HOURS',
    kind: wholeNumber(0, 8760),
    default: 24,
    group,
    help: 'hours for which finished replies are cached and replayed to who asks the same, where nothing is drawn; 0 caches none',
  }),
  cacheRepliesInKv: option({
    env: 'CACHE_REPLIES_IN_KV',
    kind: toggle(),
    default: false,
    group,
    help: 'whether replies are cached in KV too, for every location; a request that this location has no reply for then waits for KV',
  }),
  showCache: option({
    env: 'SHOW_CACHE',
    kind: toggle(),
    default: true,
    group,
    help: 'whether replies say what was cached, and how long each part took',
  }),
  jobsMaxFileBytes: option({
    env: 'JOBS_MAX_FILE_BYTES',
    kind: wholeNumber(1, 2 ** 40),
    default: 100 * MEBIBYTE,
    group,
    help: 'largest file of lines for batches and jobs, bytes; Cloudflare refuses larger bodies by its own plan',
  }),
  jobsQueueUrl: option({
    env: 'JOBS_QUEUE_URL',
    kind: httpUrl(),
    group,
    help: 'URL of the SQS queue from which GPU workers receive the items of jobs; without one there are no jobs',
  }),
  jobsQueueEndpoint: option({
    env: 'JOBS_QUEUE_ENDPOINT',
    kind: httpUrl(),
    group,
    help: 'where that queue is served, if it is not at the host of its URL, as with servers for development',
  }),
  jobsRegion: option({
    env: 'JOBS_REGION',
    kind: text('REGION'),
    default: 'us-east-1',
    group,
    help: 'AWS region of the queue',
  }),
  awsAccessKeyId: option({
    env: 'AWS_ACCESS_KEY_ID',
    kind: bearerToken(),
    secret: true,
    group,
    help: 'whose credentials send to the queue: they need sqs:SendMessage and nothing else',
  }),
  awsSecretAccessKey: option({
    env: 'AWS_SECRET_ACCESS_KEY',
    kind: bearerToken(),
    secret: true,
    group,
    help: 'its secret; a secret of the Worker',
  }),
  jobsSecrets: option({
    env: 'JOBS_SECRET',
    kind: secrets(),
    default: [],
    defaultText: 'none',
    secret: true,
    group,
    help: 'signs what GPU workers send of jobs, 32 characters or more; two with a comma between them while one takes the place of the other; a secret of the Worker',
  }),
  jobsPartItems: option({
    env: 'JOBS_PART_ITEMS',
    kind: wholeNumber(1, 100_000),
    default: 10_000,
    group,
    help: 'items of a job that one Durable Object is responsible for at most, and one file of results has',
  }),
  jobsWindow: option({
    env: 'JOBS_WINDOW',
    kind: wholeNumber(1, 10_000),
    default: 256,
    group,
    help: 'items of each part that are in the queue at a time: the fewer, the sooner a job is canceled',
  }),
  jobsRunningParts: option({
    env: 'JOBS_RUNNING_PARTS',
    kind: wholeNumber(1, 1000),
    default: 16,
    group,
    help: 'parts of a job that run at a time, each with its window: many GPU workers may need more of them, or larger windows, to be busy',
  }),
  jobsMaxItems: option({
    env: 'JOBS_MAX_ITEMS',
    kind: wholeNumber(1, 4_000_000),
    default: 1_000_000,
    group,
    help: 'items of one job',
  }),
  jobsResendMs: option({
    env: 'JOBS_RESEND_MS',
    kind: wholeNumber(1000, 14 * 24 * HOUR_MS),
    default: 6 * HOUR_MS,
    group,
    help: 'after how long an item that has no result is put into the queue again, since its message may be lost, milliseconds; each time twice as long',
  }),
  jobsImageBucketUrl: option({
    env: 'JOBS_IMAGE_BUCKET_URL',
    kind: httpUrl(),
    group,
    help: 'S3 address of the bucket JOB_FILES, with its name as the path, so that GPU workers read images of items from it; else the edge passes them on',
  }),
  jobsImageBucketKeyId: option({
    env: 'JOBS_IMAGE_BUCKET_KEY_ID',
    kind: bearerToken(),
    secret: true,
    group,
    help: 'whose credentials sign URLs of that bucket: they need to read objects and nothing else',
  }),
  jobsImageBucketSecret: option({
    env: 'JOBS_IMAGE_BUCKET_SECRET',
    kind: bearerToken(),
    secret: true,
    group,
    help: 'their secret; a secret of the Worker',
  }),
  cacheSecret: option({
    env: 'CACHE_SECRET',
    kind: bearerToken(),
    secret: true,
    group,
    help: 'signs cached embeddings and replies, so that whoever can write into KV cannot forge any; a secret of the Worker',
  }),
};

export type Config = Values<typeof EDGE_OPTIONS>;

/** All GPU workers. */
export function workersOf({
  gpuWorkers,
  gpuWorkerUrl: url,
}: Pick<Config, 'gpuWorkers' | 'gpuWorkerUrl'>): readonly WorkerAddress[] {
  return gpuWorkers.length > 0 ? gpuWorkers : [{ url, weight: 1, zone: null }];
}

/**
 * The configuration from what the platform binds to the Worker: variables are texts, or numbers and booleans where
 * `wrangler.toml` says so; everything else is no variable.
 * @throws ConfigError that names each variable that is wrong and what is allowed
 * @example readConfig({ ...env, MAX_BODY_BYTES: '0' }) // throws: MAX_BODY_BYTES must be a whole number from 1 to …
 */
export function readConfig(bindings: Readonly<Record<string, unknown>>): Config {
  const variables = Object.entries(bindings)
    .filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value))
    .map(([name, value]) => [name, String(value)]);
  return readOptions(EDGE_OPTIONS, { env: Object.fromEntries(variables) });
}
