/** Bindings and variables of the Worker, checked once. */
import * as z from 'zod/mini';

export type Env = {
  EMBEDDINGS: KVNamespace;
  GPU_WORKER_URL: string;
  MAX_IMAGE_BYTES: string;
  MAX_BODY_BYTES: string;
  REQUEST_DEADLINE_MS: string;
  ALLOW_PRIVATE_IMAGE_URLS: string;
};

const positive = z.coerce.number().check(z.int(), z.positive());

const Variables = z.pipe(
  z.object({
    GPU_WORKER_URL: z.url(),
    MAX_IMAGE_BYTES: positive,
    MAX_BODY_BYTES: positive,
    REQUEST_DEADLINE_MS: positive,
    ALLOW_PRIVATE_IMAGE_URLS: z.enum(['', 'true']),
  }),
  z.transform((variables) => ({
    /** Without a trailing slash. */
    gpuWorkerUrl: variables.GPU_WORKER_URL.replace(/\/+$/, ''),
    maxImageBytes: variables.MAX_IMAGE_BYTES,
    maxBodyBytes: variables.MAX_BODY_BYTES,
    deadlineMs: variables.REQUEST_DEADLINE_MS,
    /** Only for tests: images may be fetched from this machine. */
    allowPrivateImageUrls: variables.ALLOW_PRIVATE_IMAGE_URLS === 'true',
  })),
);
export type Settings = z.infer<typeof Variables>;

/** @throws ZodError naming the variable that is missing or wrong */
export function readSettings(env: Env): Settings {
  return Variables.parse({ ...env });
}
