/** Processed logits → the next token, with the semantics and the order of transformers' warpers. */
import type { GenerationConfig } from '@blip2/shared/wire';
import { argmax, largest } from './logits-processors.ts';

/** A number in [0, 1). */
export type Random = () => number;

/**
 * Small fast counter generator "sfc32" (Doty-Humphrey, PractRand), seeded by one 32-bit number.
 * @example Array.from({ length: 3 }, seededRandom(7)) // the same three numbers each time
 */
export function seededRandom(seed: number): Random {
  let [a, b, c, counter] = [0x9e3779b9, 0x243f6a88, seed | 0, 1];
  const next = () => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  };
  // Mixes the seed into the whole state.
  for (let i = 0; i < 15; i++) next();
  return next;
}

/**
 * Picks a token: the likeliest, or temperature, top-k, top-p and a draw.
 * @param logits float32 [vocab], processed
 */
export function sampleToken(
  logits: Float32Array,
  sampling: Pick<GenerationConfig, 'temperature' | 'top_k' | 'top_p'>,
  random: Random,
): number {
  if (sampling.temperature === 0 || sampling.top_k === 1) return argmax(logits);
  return draw(candidates(logits, sampling), random());
}

/** Tokens that may be drawn, and their probabilities; likeliest first where a limit chose them. */
export type Candidates = { tokens: number[]; probabilities: Float64Array };

/**
 * What may be drawn: temperature, then top-k, then top-p (nucleus: the fewest tokens whose probability reaches
 * `top_p`). Only what may be drawn is sorted: 50,000 logits would take longer than a decode step.
 * @param logits float32 [vocab], processed; not changed
 */
export function candidates(
  logits: Float32Array,
  { temperature, top_k, top_p }: Pick<GenerationConfig, 'temperature' | 'top_k' | 'top_p'>,
): Candidates {
  const highest = logits[argmax(logits)] as number;
  // The highest apart: where all tokens are forbidden, the difference would be NaN.
  const weightOf = (logit: number) =>
    logit === highest ? 1 : Math.exp((logit - highest) / temperature);
  const least = top_k > 0 ? leastOfTop(logits, top_k) : Number.NEGATIVE_INFINITY;
  if (top_k === 0 && top_p >= 1) return normalized(Array.from(logits.keys()), logits, weightOf);
  let mass = 0;
  for (const logit of logits) if (logit >= least) mass += weightOf(logit);
  const wanted = top_p < 1 ? top_p * mass : Number.POSITIVE_INFINITY;
  const tokens = sortedAbove(logits, Math.max(least, floorOf(logits, wanted, weightOf)));
  if (top_p >= 1) return normalized(tokens, logits, weightOf);
  let [count, reached] = [0, 0];
  while (count < tokens.length && reached < wanted) {
    reached += weightOf(logits[tokens[count++] as number] as number);
  }
  return normalized(tokens.slice(0, count), logits, weightOf);
}

/** Up to here, picking the largest is faster than sorting all. */
const FEW = 256;

/** The k-th largest logit; ties with it stay, as in transformers. */
function leastOfTop(logits: Float32Array, k: number): number {
  if (k >= logits.length) return Number.NEGATIVE_INFINITY;
  if (k <= FEW) return logits[largest(logits, k)[k - 1] as number] as number;
  return logits.slice().sort()[logits.length - k] as number;
}

/** A logit above which the weights reach `wanted` for sure; halves its way down from the highest. */
function floorOf(
  logits: Float32Array,
  wanted: number,
  weightOf: (logit: number) => number,
): number {
  if (wanted === Number.POSITIVE_INFINITY) return Number.NEGATIVE_INFINITY;
  const highest = logits[argmax(logits)] as number;
  for (let depth = 1; depth < 1e6; depth *= 2) {
    let reached = 0;
    for (const logit of logits) if (logit >= highest - depth) reached += weightOf(logit);
    if (reached >= wanted) return highest - depth;
  }
  return Number.NEGATIVE_INFINITY;
}

/** Tokens whose logit is at least `floor`, likeliest first, the lower id first among equals. */
function sortedAbove(logits: Float32Array, floor: number): number[] {
  const tokens: number[] = [];
  for (let id = 0; id < logits.length; id++) if ((logits[id] as number) >= floor) tokens.push(id);
  return tokens.sort((x, y) => (logits[y] as number) - (logits[x] as number));
}

function normalized(
  tokens: number[],
  logits: Float32Array,
  weightOf: (logit: number) => number,
): Candidates {
  const weights = Float64Array.from(tokens, (token) => weightOf(logits[token] as number));
  const mass = weights.reduce((sum, weight) => sum + weight, 0);
  return { tokens, probabilities: weights.map((weight) => weight / mass) };
}

/**
 * @param u a number in [0, 1)
 * @throws Error where no probability is a number above 0
 */
function draw({ tokens, probabilities }: Candidates, u: number): number {
  let mass = 0;
  for (const [i, token] of tokens.entries()) {
    mass += probabilities[i] as number;
    if (u < mass) return token;
  }
  // Rounding may leave a little: it belongs to the last that may be drawn at all.
  const last = tokens[probabilities.findLastIndex((probability) => probability > 0)];
  if (last === undefined) throw new Error('no token has a probability');
  return last;
}
