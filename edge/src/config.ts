/** Bindings and variables of the Worker: declared in one table, read once, passed down as a value. */
import * as z from 'zod/mini';

const positive = z.coerce.number().check(z.int(), z.positive());
const withoutTrailingSlash = z.transform((url: string) => url.replace(/\/+$/, ''));
const isTrue = z.transform((text: '' | 'true') => text === 'true');

/** By the name of its value: the variable, how its text is read, and what it is for. */
const OPTIONS = {
  gpuWorkerUrl: {
    env: 'GPU_WORKER_URL',
    schema: z.pipe(z.url(), withoutTrailingSlash),
    help: 'base URL of the GPU worker',
  },
  maxImageBytes: {
    env: 'MAX_IMAGE_BYTES',
    schema: positive,
    help: 'largest image that is accepted, bytes',
  },
  maxBodyBytes: {
    env: 'MAX_BODY_BYTES',
    schema: positive,
    help: 'largest JSON or multipart body that is accepted, bytes',
  },
  deadlineMs: {
    env: 'REQUEST_DEADLINE_MS',
    schema: positive,
    help: 'time after which a request is given up, milliseconds from its arrival',
  },
  allowPrivateImageUrls: {
    env: 'ALLOW_PRIVATE_IMAGE_URLS',
    schema: z.pipe(z.enum(['', 'true']), isTrue),
    help: 'whether images are also fetched from private addresses, for tests: "true" or ""',
  },
} as const;

type Options = typeof OPTIONS;

/** What the platform binds to the Worker: the KV namespace, and each variable as text. */
export type Env = { EMBEDDINGS: KVNamespace } & Record<Options[keyof Options]['env'], string>;

export type Config = { readonly [Name in keyof Options]: z.infer<Options[Name]['schema']> };

/**
 * @example readConfig({ ...env, MAX_BODY_BYTES: '0' }) // throws: MAX_BODY_BYTES is missing or not valid: …
 * @throws Error naming the variables that are missing or not valid, and what each is for
 */
export function readConfig(env: Env): Config {
  const wrong: string[] = [];
  const values = Object.entries(OPTIONS).map(([name, option]) => {
    const result = option.schema.safeParse(env[option.env]);
    if (!result.success) wrong.push(`${option.env} is missing or not valid: ${option.help}`);
    return [name, result.data] as const;
  });
  if (wrong.length > 0) throw new Error(wrong.join('; '));
  return Object.freeze(Object.fromEntries(values)) as Config;
}
