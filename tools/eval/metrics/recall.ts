/** Recall at k of a retrieval: how often something right is among the first k. */

export const RECALL_AT = [1, 5, 10] as const;

/**
 * Place of the best of the right candidates, from 0; of equal scores the earlier candidate comes first.
 * @param scores by candidate; candidates that are not in it come after all that are
 * @returns Infinity where no right candidate has a score
 */
export function rankOf(scores: ReadonlyMap<number, number>, right: readonly number[]): number {
  const ranks = right.map((candidate) => {
    const own = scores.get(candidate);
    if (own === undefined) return Infinity;
    let before = 0;
    for (const [other, score] of scores) {
      if (score > own || (score === own && other < candidate)) before++;
    }
    return before;
  });
  return Math.min(...ranks);
}

/** @returns shares from 0 to 1 for 1, 5 and 10 */
export function recalls(ranks: readonly number[]): number[] {
  return RECALL_AT.map((k) => ranks.filter((rank) => rank < k).length / ranks.length);
}
