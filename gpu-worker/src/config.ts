/** Configuration of the GPU worker: read once, checked by a schema, printed at start, passed down as a value. */
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import * as z from 'zod/mini';

const whole = (low: number, high: number) =>
  z.coerce.number().check(z.int(), z.gte(low), z.lte(high));

const Environment = z.object({
  BLIP2_CHECKPOINT: z.optional(z.string()),
  BLIP2_RETRIEVAL_CHECKPOINT: z.optional(z.string()),
  BLIP2_BUNDLES: z.optional(z.string()),
  GPU_WORKER_HOST: z._default(z.string(), '127.0.0.1'),
  GPU_WORKER_PORT: z._default(whole(0, 65_535), 8788),
  BLIP2_EXECUTION_PROVIDER: z._default(z.enum(['auto', 'cpu', 'webgpu', 'cuda']), 'auto'),
  BLIP2_THREADS: z._default(whole(1, 1024), availableParallelism()),
  BLIP2_MAX_SLOTS: z._default(whole(1, 256), 8),
  BLIP2_PREFILL_PIECE: z._default(whole(1, 100_000), 64),
  BLIP2_PREFIX_CACHE_MB: z._default(whole(0, 1_000_000), 192),
  BLIP2_QUEUE_LIMIT: z._default(whole(0, 100_000), 64),
  BLIP2_TRACE: z.optional(z.string()),
  BLIP2_MAX_IMAGE_BYTES: z._default(whole(1, 2 ** 31), 20 * 2 ** 20),
  BLIP2_MAX_IMAGE_PIXELS: z._default(whole(1, 2 ** 31), 50_000_000),
});

export type Config = ReturnType<typeof readConfig>;

export const CONFIG_HELP = `Usage: node gpu-worker/src/main.ts [--trace FILE] [--attached] [--help]

The GPU worker: image encoder, Q-Former and language model behind POST /v1/run. It drains and ends
at SIGTERM or SIGINT; with --attached also when its standard input ends, as it does with the process that started it.
Configured by the environment:

  BLIP2_CHECKPOINT          checkpoint folder in Hugging Face's format, or owner/name[@revision] on a hub, which
                            is pulled (the embedded model)
  BLIP2_RETRIEVAL_CHECKPOINT  one that compares images with texts, or "none" (the embedded one beside the
                            embedded model, else none)
  BLIP2_MODELS              where pulled checkpoints are kept (.models at the top of the repository)
  HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE
                            as everywhere: token, address of the hub, and 1 to ask no hub
  BLIP2_PRECISION           fp32, int8, int4 or auto: bits of the large weights (auto: fp32 below 1 GB of weights, else int8)
  BLIP2_IGNORE_CONFIG       keys of config.json that you know to change nothing though the builder does not know them:
                            text_config.note,origin
  BLIP2_BUNDLES             where built bundles are kept (.bundles at the top of the repository)
  GPU_WORKER_HOST           address to listen on (127.0.0.1)
  GPU_WORKER_PORT           port to listen on; 0 takes a free one (8788)
  BLIP2_EXECUTION_PROVIDER  cpu, webgpu, cuda, or auto: the first of cuda and webgpu that loads, computes right and is
                            twice as fast as the CPU, else cpu (auto)
  BLIP2_THREADS             threads of one run (all cores)
  BLIP2_MAX_SLOTS           sequences decoded together (8)
  BLIP2_PREFILL_PIECE       tokens of a prompt read at a time, between two steps of those who write (64)
  BLIP2_PREFIX_CACHE_MB     memory for images and conversations about them that may go on, MiB (192)
  BLIP2_QUEUE_LIMIT         requests that may wait for a slot; more get 503 (64)
  BLIP2_TRACE               file for a trace of requests and engine steps, for chrome://tracing or Perfetto
  BLIP2_MAX_IMAGE_BYTES     largest image taken, bytes (20 MiB)
  BLIP2_MAX_IMAGE_PIXELS    largest image decoded, width × height (50000000)
`;

/** @throws Error that names each variable that is wrong */
export function readConfig(environment: Record<string, string | undefined>) {
  const present = Object.entries(environment).filter(
    ([, value]) => value !== undefined && value !== '',
  );
  const result = Environment.safeParse(Object.fromEntries(present));
  if (!result.success) {
    throw new Error(`The configuration is not valid:\n${z.prettifyError(result.error)}`);
  }
  const env = result.data;
  return {
    ...chooseCheckpoints(env.BLIP2_CHECKPOINT, env.BLIP2_RETRIEVAL_CHECKPOINT),
    bundles: env.BLIP2_BUNDLES,
    host: env.GPU_WORKER_HOST,
    port: env.GPU_WORKER_PORT,
    executionProvider: env.BLIP2_EXECUTION_PROVIDER,
    threads: env.BLIP2_THREADS,
    maxSlots: env.BLIP2_MAX_SLOTS,
    prefillPiece: env.BLIP2_PREFILL_PIECE,
    prefixCacheBytes: env.BLIP2_PREFIX_CACHE_MB * 2 ** 20,
    queueLimit: env.BLIP2_QUEUE_LIMIT,
    ...(env.BLIP2_TRACE === undefined ? {} : { trace: env.BLIP2_TRACE }),
    maxImageBytes: env.BLIP2_MAX_IMAGE_BYTES,
    maxImagePixels: env.BLIP2_MAX_IMAGE_PIXELS,
  };
}

const embedded = (name: string) =>
  fileURLToPath(new URL(`../checkpoints/${name}`, import.meta.url));

/**
 * The checkpoint that writes, and the one that compares. The embedded one that compares goes with the embedded one
 * that writes only: it knows nothing of another's images.
 */
export function chooseCheckpoints(checkpoint?: string, retrieval?: string) {
  const compares = retrieval ?? (checkpoint === undefined ? embedded('retrieve') : 'none');
  return {
    checkpoint: checkpoint ?? embedded('generate'),
    ...(compares === 'none' ? {} : { retrievalCheckpoint: compares }),
  };
}
