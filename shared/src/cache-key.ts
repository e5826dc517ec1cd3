/** Keys under which the embeddings of an image are cached: write-once, since they name all that decides the value. */
import { Buffer } from 'node:buffer';
import type { ImageId } from './image-id.ts';
import type { EmbeddingKind } from './wire.ts';

/** The properties of a bundle that decide the embeddings of an image. */
export type EmbeddingSpace = { kind: EmbeddingKind; revision: string; preprocessing: string };

/**
 * Names embeddings within their space: the image id, and where the Q-Former reads an instruction the hash of that.
 * @example '5e3f…' // or '5e3f…/9a0c…'
 */
export type EmbeddingId = ImageId | `${ImageId}/${string}`;

/** @param instructionIds token ids that the Q-Former reads beside the image; none where it reads the image alone */
export async function embeddingIdOf(
  imageId: ImageId,
  instructionIds?: readonly number[],
): Promise<EmbeddingId> {
  if (instructionIds === undefined) return imageId;
  const digest = await crypto.subtle.digest('SHA-256', Uint32Array.from(instructionIds));
  return `${imageId}/${Buffer.from(digest).toString('hex')}`;
}

/**
 * `qf/<revision>/<preprocessing>/<image id>` for query embeddings, with `/<hash of the instruction>` behind it where they
 * depend on one; `itc/…` for those of ITC. At most 512 bytes, the limit of Workers KV for a key.
 */
export function embeddingKey(space: EmbeddingSpace, id: EmbeddingId): string {
  return `${space.kind === 'query' ? 'qf' : 'itc'}/${space.revision}/${space.preprocessing}/${id}`;
}
