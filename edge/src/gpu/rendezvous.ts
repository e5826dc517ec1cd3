/** Which worker an image belongs to: rendezvous hashing, so that a worker that comes or goes moves its own share alone. */

export type Node = { url: string; weight: number };

/**
 * Nodes by preference for a key: the same in every isolate, and each node first for the part of all keys that its weight is
 * of all weights. A node that is taken away leaves the order of the others as it is.
 * (D. Thaler and C. Ravishankar, 1998; weights by -w / ln h.)
 * @example byPreference([{ url: 'a', weight: 1 }, { url: 'b', weight: 3 }], imageId)[0]
 */
export function byPreference<T extends Node>(nodes: readonly T[], key: string): T[] {
  if (nodes.length === 1) return [...nodes];
  return nodes
    .map((node) => ({ node, score: -node.weight / Math.log(unitHash(`${node.url}\n${key}`)) }))
    .sort((a, b) => b.score - a.score)
    .map(({ node }) => node);
}

/** A number between 0 and 1, both exclusive: 32 bits of FNV-1a, mixed so that its last characters reach all of them. */
function unitHash(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (((hash ^ (hash >>> 16)) >>> 0) + 0.5) / 2 ** 32;
}
