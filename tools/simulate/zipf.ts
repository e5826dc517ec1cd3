/** Which image a request is about: a few are asked about all the time, and most hardly ever. */
import type { Random } from '../load/random.ts';

/**
 * Draws 0 … count−1, the i-th with a chance in proportion to (i + 1)^−skew.
 * @param skew 0: all alike; 1: as words of a language, or pages of a site
 * @example const draw = zipf(20_000, 1); draw(random)
 */
export function zipf(count: number, skew: number): (random: Random) => number {
  const chances = zipfChances(count, skew);
  const upTo = new Float64Array(count);
  let sum = 0;
  for (let i = 0; i < count; i++) {
    sum += chances[i]!;
    upTo[i] = sum;
  }
  return (random) => {
    const drawn = random() * sum;
    let [low, high] = [0, count - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (upTo[middle]! > drawn) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}

/** The chance of each; they add up to 1. */
export function zipfChances(count: number, skew: number): Float64Array {
  const weights = Float64Array.from({ length: count }, (_, i) => (i + 1) ** -skew);
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}
