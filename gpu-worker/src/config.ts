/** Options of the GPU worker. */
import { availableParallelism, totalmem } from 'node:os';
import {
  choice,
  httpUrl,
  secrets,
  share,
  text,
  toggle,
  wholeNumber,
} from '@blip2/shared/config/kinds';
import { option, type Values } from '@blip2/shared/config/option';
import { readOptions, type Texts } from '@blip2/shared/config/read-options';
import { JOB_OPTIONS } from './job-options.ts';
import { MODEL_OPTIONS } from './model-options.ts';

const serving = 'Serving';
const engine = 'Engine';
const logging = 'Logs and traces';

const MEBIBYTE = 2 ** 20;
/** Of the machine, or of the container where that has less. */
export const MEMORY_MB = Math.floor(
  Math.min(totalmem(), process.constrainedMemory() || totalmem()) / MEBIBYTE,
);

export const LOG_LEVEL = option({
  env: 'BLIP2_LOG_LEVEL',
  kind: choice('debug', 'info', 'warn', 'error', 'silent'),
  default: 'info',
  group: logging,
  help: 'least level of what is logged, as JSON lines on stderr',
});

export const TRACE = option({
  env: 'BLIP2_TRACE',
  flag: 'trace',
  kind: text('FILE'),
  defaultText: 'none',
  group: logging,
  help: 'file for a trace of requests and engine steps, for chrome://tracing or Perfetto',
});

const OTLP_OPTIONS = {
  otlpEndpoint: option({
    env: 'OTEL_EXPORTER_OTLP_ENDPOINT',
    kind: httpUrl(),
    defaultText: 'none: nothing is exported',
    group: logging,
    help: 'base URL of an OpenTelemetry collector, to which spans of requests and their steps are sent as JSON over HTTP; other variables of its exporter (OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME …) count too',
  }),
  tracesSampler: option({
    env: 'OTEL_TRACES_SAMPLER',
    kind: choice(
      'parentbased_always_on',
      'parentbased_always_off',
      'parentbased_traceidratio',
      'always_on',
      'always_off',
      'traceidratio',
    ),
    default: 'parentbased_always_on',
    group: logging,
    help: 'which requests are traced: those of parentbased_… as the edge says, and what comes without it as the rest of the name says',
  }),
  tracesRatio: option({
    env: 'OTEL_TRACES_SAMPLER_ARG',
    kind: share(),
    default: 1,
    group: logging,
    help: 'share of the traces that …traceidratio records',
  }),
};

export const WORKER_OPTIONS = {
  ...MODEL_OPTIONS,
  host: option({
    env: 'BLIP2_WORKER_HOST',
    flag: 'host',
    formerly: 'GPU_WORKER_HOST',
    kind: text('ADDRESS'),
    default: '127.0.0.1',
    group: serving,
    help: 'address to listen on',
  }),
  port: option({
    env: 'BLIP2_WORKER_PORT',
    flag: 'port',
    formerly: 'GPU_WORKER_PORT',
    kind: wholeNumber(0, 65_535, 'PORT'),
    default: 8788,
    group: serving,
    help: 'port to listen on; 0 is any free one',
  }),
  secrets: option({
    env: 'BLIP2_WORKER_SECRET',
    kind: secrets(),
    default: [],
    defaultText: 'none',
    secret: true,
    group: serving,
    help: 'secret that the edge signs with (GPU_WORKER_SECRET), or two with a comma between them while one takes the place of the other; without it the worker listens on this machine alone',
  }),
  attached: option({
    flag: 'attached',
    kind: toggle(),
    default: false,
    group: serving,
    help: 'end when standard input ends, as it does with the process that started this one',
  }),
  maxImageBytes: option({
    env: 'BLIP2_MAX_IMAGE_BYTES',
    kind: wholeNumber(1, 2 ** 31),
    default: 20 * MEBIBYTE,
    group: serving,
    help: 'largest image accepted, bytes',
  }),
  maxImagePixels: option({
    env: 'BLIP2_MAX_IMAGE_PIXELS',
    kind: wholeNumber(1, 2 ** 31),
    default: 50_000_000,
    group: serving,
    help: 'largest image decoded, width × height; half as much of AVIF and interlaced PNG, which take longer',
  }),
  decodeProcesses: option({
    env: 'BLIP2_DECODE_PROCESSES',
    kind: wholeNumber(1, 64),
    default: Math.min(4, Math.max(2, availableParallelism())),
    defaultText: 'as many as cores, 2 to 4',
    group: serving,
    help: 'processes that decode images, one image at a time each',
  }),
  decodeTimeoutS: option({
    env: 'BLIP2_DECODE_TIMEOUT_S',
    kind: wholeNumber(1, 3600),
    default: 10,
    group: serving,
    help: 'processor time that decoding one image may take, seconds; one that takes more gets 400, and its process is replaced',
  }),
  decodeMemoryMb: option({
    env: 'BLIP2_DECODE_MEMORY_MB',
    kind: wholeNumber(1, 1_000_000),
    default: Math.min(1024, Math.floor(MEMORY_MB / 4)),
    defaultText: '1024, at most a quarter of the memory',
    group: serving,
    help: 'memory that decoding one image may take by its header, MiB; one that needs more gets 400',
  }),
  decodeTotalMemoryMb: option({
    env: 'BLIP2_DECODE_TOTAL_MEMORY_MB',
    kind: wholeNumber(96, 1_000_000),
    default: Math.max(96, Math.min(4096, Math.floor(MEMORY_MB / 4))),
    defaultText: 'a quarter of the memory, at most 4096',
    group: serving,
    help: 'memory that decoding may take for all images at the same time, MiB: 96 for each process, and the rest for images that need more, which wait for it',
  }),
  maxBodyMemoryMb: option({
    env: 'BLIP2_MAX_BODY_MEMORY_MB',
    kind: wholeNumber(1, 1_000_000),
    default: 256,
    group: serving,
    help: 'memory for images that arrive or wait to be decoded, MiB, at least one image; more wait their turn, then get 503',
  }),
  queueLimit: option({
    env: 'BLIP2_QUEUE_LIMIT',
    kind: wholeNumber(0, 100_000),
    default: 64,
    group: serving,
    help: 'requests that may wait for a slot; more get 503, and one client beyond half of all places 429',
  }),
  hangSeconds: option({
    env: 'BLIP2_HANG_SECONDS',
    kind: wholeNumber(1, 86_400),
    default: 60,
    group: serving,
    help: 'time that one step of the engine may take while the worker can run, seconds; beyond it /healthz is 503, and npm start replaces the worker',
  }),
  executionProvider: option({
    env: 'BLIP2_EXECUTION_PROVIDER',
    kind: choice('auto', 'cpu', 'webgpu', 'cuda'),
    default: 'auto',
    group: engine,
    help: 'auto is the first of cuda and webgpu that loads, computes right and is twice as fast as the CPU, else cpu',
  }),
  threads: option({
    env: 'BLIP2_THREADS',
    kind: wholeNumber(1, 1024),
    default: availableParallelism(),
    defaultText: 'all cores',
    group: engine,
    help: 'threads of one run',
  }),
  maxSlots: option({
    env: 'BLIP2_MAX_SLOTS',
    kind: wholeNumber(1, 256),
    default: 8,
    group: engine,
    help: 'sequences decoded together',
  }),
  reserveSlots: option({
    env: 'BLIP2_RESERVE_SLOTS',
    kind: wholeNumber(0, 256),
    defaultText: 'as BLIP2_MAX_SLOTS',
    group: engine,
    help: 'further sequences, a quarter of them short, of requests that would else wait for a client with more than its share; each may need as much memory as others',
  }),
  backgroundPercent: option({
    env: 'BLIP2_BACKGROUND_PERCENT',
    kind: wholeNumber(1, 100),
    default: 25,
    group: engine,
    help: 'time of the engine that items of jobs may have while others have asked within ten seconds, percent: the less, the less do these notice',
  }),
  prefillChunkTokens: option({
    env: 'BLIP2_PREFILL_CHUNK_TOKENS',
    formerly: 'BLIP2_PREFILL_PIECE',
    kind: wholeNumber(1, 100_000),
    default: 64,
    group: engine,
    help: 'prompt tokens computed at a time, between two decode steps of the others',
  }),
  prefixCacheMb: option({
    env: 'BLIP2_PREFIX_CACHE_MB',
    kind: wholeNumber(0, 1_000_000),
    default: 192,
    group: engine,
    help: 'memory for the keys and values of images and conversations that may continue, MiB',
  }),
  kvCacheMb: option({
    env: 'BLIP2_KV_CACHE_MB',
    kind: wholeNumber(1, 1_000_000),
    defaultText: '80 % of what the rest leaves; no bound with webgpu',
    group: engine,
    help: 'memory for the keys and values of all sequences, MiB: requests wait for it, and one that does not leave two slots gets 400. Of OPT-2.7B, a sequence of 2048 positions takes 1280. WebGPU does not say how much memory a device has: set at most a third of what the weights leave there, since the cache is copied where it grows; a text for which there is no room ends with an error',
  }),
  ...JOB_OPTIONS,
  logLevel: LOG_LEVEL,
  trace: TRACE,
  ...OTLP_OPTIONS,
};

export const WORKER_PROGRAM = {
  command: 'npm run worker --',
  summary:
    'The GPU worker: image encoder, Q-Former and language model behind POST /v1/run. It drains and ends at SIGTERM or SIGINT.',
  options: WORKER_OPTIONS,
  family: WORKER_OPTIONS,
};

export type Config = Values<typeof WORKER_OPTIONS>;

/**
 * The GPU worker's configuration from an environment.
 * @throws ConfigError that names each variable that is wrong and what is allowed
 */
export function readConfig(env: Texts): Config {
  return readOptions(WORKER_OPTIONS, { env });
}
