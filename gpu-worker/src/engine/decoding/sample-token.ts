/** Processed logits → the next token, with the semantics and the order of transformers' warpers. */
import type { GenerationConfig } from '@blip2/shared/wire';
import { kthLargest, likeliestFirst } from './likeliest.ts';
import { argmax } from './logits-processors.ts';

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
export function sampleToken(logits: Float32Array, sampling: Limits, random: Random): number {
  if (sampling.temperature === 0 || sampling.top_k === 1) return argmax(logits);
  return draw(candidates(logits, sampling), random());
}

/** Tokens that may be drawn, and their probabilities; likeliest first where a limit chose them. */
export type Candidates = { tokens: Uint32Array; probabilities: Float64Array };

type Limits = Pick<GenerationConfig, 'temperature' | 'top_k' | 'top_p'>;

/**
 * What may be drawn: temperature, then top-k, then top-p (nucleus: the fewest tokens whose probability reaches
 * `top_p`). Sums go in the order of ids, or of what may be drawn: another order rounds to other draws of the same seed.
 * @param logits float32 [vocab], processed; not changed
 */
export function candidates(logits: Float32Array, limits: Limits): Candidates {
  const { temperature, top_k, top_p } = limits;
  const least = top_k > 0 ? leastOfTop(logits, top_k) : Number.NEGATIVE_INFINITY;
  const highest = logits[argmax(logits)] as number;
  if (top_p < 1) return nucleus(logits, limits, { highest, least });
  const tokens = top_k === 0 ? allOf(logits) : likeliestFirst(logits, least);
  return normalized(tokens, weightsOf(logits, tokens, { highest, temperature }));
}

/** @param least logit of top-k */
function nucleus(
  logits: Float32Array,
  { temperature, top_p }: Limits,
  { highest, least }: { highest: number; least: number },
): Candidates {
  const all = weightsOf(logits, allOf(logits), { highest, temperature });
  const wanted = top_p * massAbove(least, logits, all);
  const floor = Math.max(least, floorOf(wanted, highest, { logits, weights: all }));
  const tokens = likeliestFirst(logits, floor);
  const weights = new Float64Array(tokens.length);
  let [count, reached] = [0, 0];
  while (count < tokens.length && reached < wanted) {
    const weight = all[tokens[count] as number] as number;
    weights[count++] = weight;
    reached += weight;
  }
  return normalized(tokens.subarray(0, count), weights.subarray(0, count));
}

/** The k-th largest logit; ties with it stay, as in transformers. */
function leastOfTop(logits: Float32Array, k: number): number {
  return k >= logits.length ? Number.NEGATIVE_INFINITY : kthLargest(logits, k);
}

/** Ids in their order. */
function allOf(logits: Float32Array): Uint32Array {
  const ids = new Uint32Array(logits.length);
  for (let id = 0; id < ids.length; id++) ids[id] = id;
  return ids;
}

/** Probabilities of tokens, but for a factor. */
function weightsOf(
  logits: Float32Array,
  tokens: Uint32Array,
  { highest, temperature }: { highest: number; temperature: number },
): Float64Array {
  const weights = new Float64Array(tokens.length);
  for (let i = 0; i < tokens.length; i++) {
    const logit = logits[tokens[i] as number] as number;
    // The highest apart: where all tokens are forbidden, the difference would be NaN.
    weights[i] = logit === highest ? 1 : Math.exp((logit - highest) / temperature);
  }
  return weights;
}

function massAbove(least: number, logits: Float32Array, weights: Float64Array): number {
  let mass = 0;
  for (let id = 0; id < logits.length; id++) {
    if ((logits[id] as number) >= least) mass += weights[id] as number;
  }
  return mass;
}

/** A logit above which the weights reach `wanted` for sure; halves its way down from the highest. */
function floorOf(
  wanted: number,
  highest: number,
  { logits, weights }: { logits: Float32Array; weights: Float64Array },
): number {
  for (let depth = 1; depth < 1e6; depth *= 2) {
    if (massAbove(highest - depth, logits, weights) >= wanted) return highest - depth;
  }
  return Number.NEGATIVE_INFINITY;
}

/** @param weights of the tokens; become their probabilities */
function normalized(tokens: Uint32Array, weights: Float64Array): Candidates {
  let mass = 0;
  for (let i = 0; i < weights.length; i++) mass += weights[i] as number;
  for (let i = 0; i < weights.length; i++) weights[i] = (weights[i] as number) / mass;
  return { tokens, probabilities: weights };
}

/**
 * @param u a number in [0, 1)
 * @throws Error where no probability is a number above 0
 */
function draw({ tokens, probabilities }: Candidates, u: number): number {
  let mass = 0;
  for (let i = 0; i < tokens.length; i++) {
    mass += probabilities[i] as number;
    if (u < mass) return tokens[i] as number;
  }
  // Rounding may leave a little: it belongs to the last that may be drawn at all.
  const last = tokens[probabilities.findLastIndex((probability) => probability > 0)];
  if (last === undefined) throw new Error('no token has a probability');
  return last;
}
