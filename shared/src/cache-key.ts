/** Names under which query embeddings are kept (DESIGN.md §3). */

import type { EmbeddingKind } from './wire.ts';

/** Parts of a bundle that decide what the query embeddings of an image are. */
export type EmbeddingSpace = { kind: EmbeddingKind; revision: string; preprocessing: string };

const SHA256 = /^[0-9a-f]{64}$/;

export function isSha256(text: string): boolean {
  return SHA256.test(text);
}

/**
 * `qf/<revision>/<preprocessing>/<image sha256>` for query embeddings, `itc/…` for those of ITC: at most 512 bytes,
 * KV's limit for a key.
 */
export function embeddingKey(space: EmbeddingSpace, imageSha256: string): string {
  return `${space.kind === 'query' ? 'qf' : 'itc'}/${space.revision}/${space.preprocessing}/${imageSha256}`;
}
