/** Which worker still has room: an image that everybody asks about must not make its own worker much busier than others. */

/** A node, and the requests that were sent to it and have not ended. */
export type Loaded = { readonly weight: number; readonly inFlight: number };

/** A worker has at most so many times the mean of what all have, by weight, before the next one is preferred. */
const MOST_OF_MEAN = 1.5;

/**
 * The first node that has no more than its share with one request more; undefined where there are no nodes.
 * (V. Mirrokni, M. Thorup and M. Zadimoghaddam, 2018.)
 * @param nodes by preference
 * @example firstWithRoom([{ weight: 1, inFlight: 3 }, { weight: 1, inFlight: 0 }])?.inFlight // 0
 */
export function firstWithRoom<T extends Loaded>(nodes: readonly T[]): T | undefined {
  const total = nodes.reduce((sum, { inFlight }) => sum + inFlight, 1);
  const weights = nodes.reduce((sum, { weight }) => sum + weight, 0);
  return (
    nodes.find(
      ({ inFlight, weight }) => inFlight < Math.ceil((MOST_OF_MEAN * total * weight) / weights),
    ) ?? nodes[0]
  );
}
