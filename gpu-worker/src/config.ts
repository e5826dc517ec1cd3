/** Options of the GPU worker. */
import { availableParallelism } from 'node:os';
import { choice, text, toggle, wholeNumber } from '@blip2/shared/config/kinds';
import { option, type Values } from '@blip2/shared/config/option';
import { readOptions, type Texts } from '@blip2/shared/config/read-options';
import { MODEL_OPTIONS } from './model-options.ts';

const serving = 'Serving';
const engine = 'Engine';
const logging = 'Logs and traces';

const MEBIBYTE = 2 ** 20;

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
    help: 'largest image decoded, width × height',
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
    help: 'time that one step of the engine may take, seconds; beyond it /healthz is 503, and npm start replaces the worker',
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
  logLevel: LOG_LEVEL,
  trace: TRACE,
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
