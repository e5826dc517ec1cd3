/** Bindings and variables of the Worker: declared in one table, checked once, passed down as a value. */
import * as z from 'zod/mini';

const positive = z.coerce.number().check(z.int(), z.positive());

/** Every variable: how its text is read, and what it is for. */
const VARIABLES = {
  GPU_WORKER_URL: {
    schema: z.pipe(
      z.url(),
      z.transform((url) => url.replace(/\/+$/, '')),
    ),
    help: 'base URL of the GPU worker',
  },
  MAX_IMAGE_BYTES: { schema: positive, help: 'largest image that is accepted, bytes' },
  MAX_BODY_BYTES: { schema: positive, help: 'largest JSON or multipart body, bytes' },
  REQUEST_DEADLINE_MS: {
    schema: positive,
    help: 'time after which a request is given up, milliseconds from its arrival',
  },
  ALLOW_PRIVATE_IMAGE_URLS: {
    schema: z.pipe(
      z.enum(['', 'true']),
      z.transform((text) => text === 'true'),
    ),
    help: 'whether images are also fetched from private addresses, for tests: "true" or ""',
  },
} as const;

type Name = keyof typeof VARIABLES;
const NAMES = Object.keys(VARIABLES) as Name[];

/** What the platform binds to the Worker: the KV namespace, and each variable as text. */
export type Env = { EMBEDDINGS: KVNamespace } & Record<Name, string>;

export type Config = {
  /** Without a trailing slash. */
  gpuWorkerUrl: string;
  maxImageBytes: number;
  maxBodyBytes: number;
  deadlineMs: number;
  allowPrivateImageUrls: boolean;
};

/**
 * @example readConfig({ ...env, REQUEST_DEADLINE_MS: '0' }) // throws: REQUEST_DEADLINE_MS is missing or not valid: …
 * @throws Error naming the variables that are missing or not valid, and what each is for
 */
export function readConfig(env: Env): Config {
  const schemas = Object.fromEntries(NAMES.map((name) => [name, VARIABLES[name].schema]));
  const result = z.object(schemas as Schemas).safeParse({ ...env });
  if (!result.success) {
    const wrong = new Set(result.error.issues.map(({ path }) => path[0] as Name));
    const lines = [...wrong].map((name) => {
      return `${name} is missing or not valid: ${VARIABLES[name].help}`;
    });
    throw new Error(lines.join('; '), { cause: result.error });
  }
  const variables = result.data;
  return {
    gpuWorkerUrl: variables.GPU_WORKER_URL,
    maxImageBytes: variables.MAX_IMAGE_BYTES,
    maxBodyBytes: variables.MAX_BODY_BYTES,
    deadlineMs: variables.REQUEST_DEADLINE_MS,
    allowPrivateImageUrls: variables.ALLOW_PRIVATE_IMAGE_URLS,
  };
}

type Schemas = { [Key in Name]: (typeof VARIABLES)[Key]['schema'] };
