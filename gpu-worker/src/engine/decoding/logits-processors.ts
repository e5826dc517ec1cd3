/** Pure arithmetic on one row of logits: log-probabilities, the best of them, and what transformers' processors do. */
import type { GeneratedToken, ScoredToken } from '@blip2/shared/frames';
import type { GenerationConfig } from '@blip2/shared/wire';

/** The first of the largest values, as `torch.argmax` does. */
export function argmax(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) {
    if ((logits[i] as number) > (logits[best] as number)) best = i;
  }
  return best;
}

/** Largest finite float32. */
const LARGEST = 2 ** 128 - 2 ** 104;

/** A number as float32, the largest there is where it is larger: an infinite one would be NaN in the next difference. */
export function finite32(value: number): number {
  return Math.fround(Math.min(Math.max(value, -LARGEST), LARGEST));
}

/** Natural logarithm of the sum of exponentials. */
function logSumExp(logits: Float32Array): number {
  let highest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) {
    if ((logits[i] as number) > highest) highest = logits[i] as number;
  }
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp((logits[i] as number) - highest);
  return highest + Math.log(sum);
}

/** Logits become natural log-probabilities, in place: float32 [vocab]. */
export function toLogProbabilities(logits: Float32Array): void {
  const total = logSumExp(logits);
  for (let i = 0; i < logits.length; i++) logits[i] = finite32((logits[i] as number) - total);
}

/** Indices of the `count` largest values, the largest first, the lower index first among equals. */
export function largest(values: Float32Array, count: number): number[] {
  const best: number[] = [];
  let least = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (best.length === count && !(value > least)) continue;
    let at = best.length;
    while (at > 0 && value > (values[best[at - 1] as number] as number)) at--;
    best.splice(at, 0, i);
    if (best.length > count) best.pop();
    least = values[best.at(-1) as number] as number;
  }
  return best;
}

/**
 * How likely tokens are by the model alone: call it before the processors change the logits.
 * @param logits float32 [vocab]; not changed
 * @returns for a token id, what `logprobs` and `top_logprobs` ask for; undefined where they ask for nothing
 */
export function logprobsOf(
  logits: Float32Array,
  { logprobs, top_logprobs }: Pick<GenerationConfig, 'logprobs' | 'top_logprobs'>,
): (token: number) => GeneratedToken['scored'] {
  if (!logprobs) return () => undefined;
  const raw = logits.slice();
  toLogProbabilities(raw);
  return scoresOf(raw, top_logprobs);
}

/**
 * The same where the log-probabilities are there already.
 * @param logProbabilities float32 [vocab]; not changed
 */
export function scoresBefore(
  logProbabilities: Float32Array,
  { logprobs, top_logprobs }: Pick<GenerationConfig, 'logprobs' | 'top_logprobs'>,
): (token: number) => GeneratedToken['scored'] {
  return logprobs ? scoresOf(logProbabilities.slice(), top_logprobs) : () => undefined;
}

function scoresOf(raw: Float32Array, count: number): (token: number) => GeneratedToken['scored'] {
  const score = (id: number): ScoredToken => ({ id, logprob: raw[id] as number });
  const top = largest(raw, count).map(score);
  return (token) => ({ logprob: raw[token] as number, top });
}

/** What the processors depend on, beside the logits. */
export type ProcessorContext = {
  /** Token ids of the prompt, image positions included, and of what was generated. */
  tokenIds: readonly number[];
  /** How many of them were generated. */
  generated: number;
  eosIds: readonly number[];
};

/** Which of a generation's parameters the processors read. */
type ProcessorConfig = Pick<
  GenerationConfig,
  | 'repetition_penalty'
  | 'frequency_penalty'
  | 'presence_penalty'
  | 'no_repeat_ngram_size'
  | 'min_tokens'
>;

/**
 * Repetition penalty, frequency and presence penalties, n-gram rule and least length, in transformers' order. Of finite values it leaves some finite: where
 * the n-gram rule forbids every token that is left, it yields.
 * @param values logits, or log-probabilities in a beam search, float32 [vocab]; changed in place
 */
export function applyLogitsProcessors(
  values: Float32Array,
  config: ProcessorConfig,
  { tokenIds, generated, eosIds }: ProcessorContext,
): void {
  if (config.repetition_penalty !== 1) penalize(values, tokenIds, config.repetition_penalty);
  if (config.frequency_penalty !== 0 || config.presence_penalty !== 0) {
    subtract(values, tokenIds.slice(tokenIds.length - generated), config);
  }
  const size = config.no_repeat_ngram_size;
  const banned = size > 0 ? bannedTokens(tokenIds, size) : [];
  const before = banned.map((token) => values[token] ?? 0);
  const ban = (tokens: readonly number[]) => {
    for (const token of tokens) values[token] = Number.NEGATIVE_INFINITY;
  };
  const isShort = generated < config.min_tokens;
  ban(banned);
  if (isShort) ban(eosIds);
  if (banned.length === 0 || values.some((value) => value > Number.NEGATIVE_INFINITY)) return;
  for (const [i, token] of banned.entries()) values[token] = before[i] as number;
  if (isShort) ban(eosIds);
}

/** Divides positive and multiplies negative values of present tokens (CTRL, arXiv 1909.05858 §4.1). */
function penalize(values: Float32Array, tokenIds: readonly number[], penalty: number): void {
  for (const token of new Set(tokenIds)) {
    const value = values[token];
    if (value === undefined) continue;
    values[token] = finite32(value > 0 ? value / penalty : value * penalty);
  }
}

/** OpenAI's penalties: from a token's value, one for each time that the text has it, and one where it has it at all. */
function subtract(
  values: Float32Array,
  textIds: readonly number[],
  { frequency_penalty, presence_penalty }: ProcessorConfig,
): void {
  const present = new Set<number>();
  for (const token of textIds) {
    const value = values[token];
    if (value === undefined) continue;
    const once = present.has(token) ? 0 : presence_penalty;
    present.add(token);
    values[token] = finite32(value - frequency_penalty - once);
  }
}

/**
 * Tokens that would end an n-gram of this size that is in `tokenIds` already.
 * @example bannedTokens([1, 2, 3, 1, 2], 3) // [3]
 */
export function bannedTokens(tokenIds: readonly number[], size: number): number[] {
  const head = tokenIds.length - (size - 1);
  if (head < 0) return [];
  const banned: number[] = [];
  for (let start = 0; start + size <= tokenIds.length; start++) {
    let same = true;
    for (let j = 0; j < size - 1 && same; j++) same = tokenIds[start + j] === tokenIds[head + j];
    if (same) banned.push(tokenIds[start + size - 1] as number);
  }
  return banned;
}
