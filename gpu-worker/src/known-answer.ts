/** Asks the engine what it has answered before, so that "ready" means that it computes what was built. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { BundleManifest, GenerativeManifest } from '@blip2/shared/bundle-manifest';
import type { Precision } from '@blip2/shared/precision';
import { GenerationConfig } from '@blip2/shared/wire';
import * as z from 'zod/mini';
import type { EngineClient } from './engine/client.ts';
import type { Job, JobEvent, Pixels } from './engine/protocol.ts';
import type { Logger } from './logger.ts';
import { readText, replaceText } from './regular-file.ts';
import type { ExecutionProvider } from './runtime/session-options.ts';

/** An engine, and what it was started with. */
export type AskedEngine = {
  engine: EngineClient;
  manifest: GenerativeManifest;
  executionProvider: ExecutionProvider;
};

const KNOWN_ANSWER = 'known-answer.json';
/** As many as a generation reports. */
const TOP_LOGPROBS = 20;

/** By which kernels products of 8 bits are computed: what others have answered is no answer to compare with. */
const KERNELS = 'exact';

/** Stored with each answer. `digest`: of the manifest it was computed with, and so of every file. */
const Origin = z.object({ kernels: z.literal(KERNELS), digest: z.string() });

const Answer = z.object({
  /** Every 97th value of the query embeddings of a fixed image. */
  embeddings: z.array(z.number()).check(z.minLength(1)),
  /** The likeliest first tokens of a text about it, and their log-probabilities. */
  tokens: z.array(z.object({ id: z.int(), logprob: z.number() })).check(z.minLength(1)),
});
type Answer = z.infer<typeof Answer>;

const STRIDE = 97;

/**
 * How far answers of the same files may lie apart: relative error of the embeddings, and difference of a log-probability.
 * Sums in another order (AVX2, AVX-512, a GPU) are some 1e-5 apart in fp32; quantized products round activations as well, which
 * a kernel may do in its own way. Kernels that are wrong, zeros and noise are far beyond either.
 */
const TOLERANCE: Record<Precision, { embeddings: number; logprob: number }> = {
  fp32: { embeddings: 0.02, logprob: 0.1 },
  int8: { embeddings: 0.2, logprob: 1 },
  int4: { embeddings: 0.2, logprob: 1 },
};

/** How a model is asked, and its answers are compared. */
export type Question<Answer> = {
  answer: z.ZodMiniType<Answer>;
  ask: () => Promise<Answer>;
  /** What is too far apart, in words; null when nothing is. */
  differenceOf: (known: Answer, found: Answer) => string | null;
};

/** Asks the generative model. @throws Error as `checkAnswer` */
export async function checkKnownAnswer(
  bundle: string,
  { engine, manifest, executionProvider }: AskedEngine,
  log: Logger,
): Promise<void> {
  const question: Question<Answer> = {
    answer: Answer,
    ask: () => ask(engine, manifest),
    differenceOf: (known, found) => differenceOf(known, found, manifest.precision),
  };
  await checkAnswer({ bundle, manifest, executionProvider }, question, log);
}

/**
 * Compares the answer with the one that lies beside the bundle. Where there is none, the CPU's is written there: the digests
 * have shown by then that the files are those that were built, and the CPU's kernels are those that the builder is tested with.
 * Another provider is compared when there is one, and never makes it.
 * @throws Error when the answers are further apart than arithmetic explains
 */
export async function checkAnswer<Answer>(
  asked: { bundle: string; manifest: BundleManifest; executionProvider: ExecutionProvider },
  question: Question<Answer>,
  log: Logger,
): Promise<void> {
  const { digest } = asked.manifest;
  const path = join(asked.bundle, KNOWN_ANSWER);
  const known = await readAnswer(path, question.answer, digest);
  const answer = await question.ask();
  if (known !== undefined) {
    const difference = question.differenceOf(known, answer);
    if (difference === null) return;
    throw new Error(
      `The model does not compute what it computed when ${path} was written: ${difference}. Set another BLIP2_EXECUTION_PROVIDER, or remove that file if it was written by a machine that computes wrong.`,
    );
  }
  if (asked.executionProvider !== 'cpu') {
    const message = `There is no answer of the CPU at ${path} to compare with: a worker with BLIP2_EXECUTION_PROVIDER=cpu writes it.`;
    log.info('known-answer-missing', { message });
    return;
  }
  const text = JSON.stringify({ kernels: KERNELS, digest, ...answer });
  await replaceText(path, `${text}\n`).catch((error: Error) => {
    log.debug('known-answer-not-written', { message: error.message });
  });
}

/** @returns what is known of these very files */
async function readAnswer<Answer>(
  path: string,
  schema: z.ZodMiniType<Answer>,
  digest: string,
): Promise<Answer | undefined> {
  try {
    const stored = JSON.parse(await readText(path));
    return Origin.parse(stored).digest === digest ? schema.parse(stored) : undefined;
  } catch {
    return undefined;
  }
}

/** A fixed image and the first token of a text about it, through every graph of the generative model. */
async function ask(
  engine: EngineClient,
  { image, bos_token_id, instruction }: GenerativeManifest,
): Promise<Answer> {
  const job: Job = {
    kind: 'generate',
    source: pattern(image.size),
    inputIds: [bos_token_id],
    instruction: instruction && [instruction.cls_token_id, instruction.sep_token_id],
    config: GenerationConfig.parse({
      max_tokens: 1,
      // Not the end at once, of which no token tells.
      min_tokens: 1,
      logprobs: true,
      top_logprobs: TOP_LOGPROBS,
    }),
  };
  let embeddings: number[] = [];
  let tokens: Answer['tokens'] = [];
  for await (const event of run(engine, job)) {
    if (event.type === 'embeddings') {
      embeddings = [...event.values.filter((_, i) => i % STRIDE === 0)];
    } else if (event.type === 'tokens') tokens = event.tokens[0]?.scored?.top ?? [];
  }
  return { embeddings, tokens };
}

/** Runs a job of nobody's. */
export function run(engine: EngineClient, job: Job): AsyncIterable<JobEvent> {
  const caller = { client: '', priority: 'interactive' } as const;
  const { signal } = new AbortController();
  return engine.run(job, { signal, caller, requestId: 'self-test' });
}

/** Waves of another length and direction in each channel. */
export function pattern(size: number): Pixels {
  const pixels = Float32Array.from({ length: 3 * size ** 2 }, (_, i) => {
    const [channel, y, x] = [Math.floor(i / size ** 2), Math.floor(i / size) % size, i % size];
    return Math.sin((channel + 1) * (x + 2 * y) * (6 / size)) + (x > y ? 0.5 : -0.5);
  });
  const key = createHash('sha256').update(pixels).digest('hex');
  return { kind: 'pixels', key: `self-test ${key}`, pixels };
}

/** What is too far apart, in words; null when nothing is. */
function differenceOf(known: Answer, answer: Answer, precision: Precision): string | null {
  const tolerance = TOLERANCE[precision];
  const error = relativeError(known.embeddings, answer.embeddings);
  if (!(error <= tolerance.embeddings)) {
    return `its query embeddings have a relative error of ${error.toPrecision(2)}`;
  }
  const found = new Map(answer.tokens.map(({ id, logprob }) => [id, logprob]));
  const least = answer.tokens.at(-1)?.logprob ?? Number.NaN;
  for (const { id, logprob } of known.tokens) {
    // A token that is no longer among the likeliest is at most as likely as the last of them.
    const off = found.has(id) ? Math.abs((found.get(id) ?? 0) - logprob) : logprob - least;
    if (!(off <= tolerance.logprob)) {
      return `the log-probability of token ${id} is ${off.toPrecision(2)} away`;
    }
  }
  return null;
}

export function relativeError(known: readonly number[], found: readonly number[]): number {
  if (known.length !== found.length) return Number.POSITIVE_INFINITY;
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value ** 2, 0);
  return Math.sqrt(sum(known.map((value, i) => value - (found[i] ?? 0))) / sum(known));
}
