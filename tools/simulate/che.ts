/** The hit ratio of an LRU cache by formula, to hold the simulated one against. */

/**
 * Che's approximation: an entry stays for a time that is the same for all, in which as many different ones are asked for
 * as there is room for. (H. Che, Y. Tung and Z. Wang, 2002.)
 * @param chances of each image, which add up to 1
 * @param room entries
 */
export function cheHitRatio(chances: Float64Array, room: number): number {
  if (room >= chances.length) return 1;
  /** How many different ones are asked for within so many requests. */
  const different = (requests: number) =>
    chances.reduce((sum, chance) => sum - Math.expm1(-chance * requests), 0);
  let [low, high] = [0, 1];
  while (different(high) < room) high *= 2;
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (different(middle) < room) low = middle;
    else high = middle;
  }
  return chances.reduce((sum, chance) => sum - chance * Math.expm1(-chance * high), 0);
}
