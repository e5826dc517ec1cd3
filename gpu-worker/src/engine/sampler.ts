/** Processed logits → the next token, with the semantics and the order of transformers' warpers. */
import type { GenerationConfig } from '@blip2/shared/wire';
import { argmax } from './logits.ts';

/** A number in [0, 1). */
export type Random = () => number;

/** Small fast counter generator "sfc32" (Doty-Humphrey, PractRand), seeded by one 32-bit number. */
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

/** Tokens that may be drawn, likeliest first, and their probabilities. */
export type Candidates = { tokens: number[]; probabilities: Float64Array };

/** Temperature, then top-k, then top-p (nucleus: the fewest tokens whose probability reaches `top_p`). */
export function candidates(
  logits: Float32Array,
  { temperature, top_k, top_p }: Pick<GenerationConfig, 'temperature' | 'top_k' | 'top_p'>,
): Candidates {
  let tokens = Array.from(logits.keys()).sort(
    (x, y) => (logits[y] as number) - (logits[x] as number),
  );
  if (top_k > 0) {
    const least = logits[tokens[Math.min(top_k, tokens.length) - 1] as number] as number;
    // Ties with the last one stay, as in transformers.
    tokens = tokens.filter((token) => (logits[token] as number) >= least);
  }
  const highest = logits[tokens[0] as number] as number;
  const weights = Float64Array.from(tokens, (token) =>
    Math.exp(((logits[token] as number) - highest) / temperature),
  );
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let kept = tokens.length;
  if (top_p < 1) {
    let mass = 0;
    kept = 0;
    while (kept < tokens.length && mass < top_p * total) mass += weights[kept++] as number;
  }
  const probabilities = weights.slice(0, kept);
  const mass = probabilities.reduce((sum, weight) => sum + weight, 0);
  return {
    tokens: tokens.slice(0, kept),
    probabilities: probabilities.map((weight) => weight / mass),
  };
}

/** @param u a number in [0, 1) */
function draw({ tokens, probabilities }: Candidates, u: number): number {
  let mass = 0;
  for (const [i, token] of tokens.entries()) {
    mass += probabilities[i] as number;
    if (u < mass) return token;
  }
  return tokens.at(-1) as number;
}
