/** Keys under which the embeddings of an image are cached: write-once, since they name all that decides the value. */
import type { ImageId } from './image-id.ts';
import type { EmbeddingKind } from './wire.ts';

/** The properties of a bundle that decide the embeddings of an image. */
export type EmbeddingSpace = { kind: EmbeddingKind; revision: string; preprocessing: string };

/**
 * `qf/<revision>/<preprocessing>/<image id>` for query embeddings, `itc/…` for those of ITC: at most 512 bytes,
 * the limit of Workers KV for a key.
 */
export function embeddingKey(space: EmbeddingSpace, imageId: ImageId): string {
  return `${space.kind === 'query' ? 'qf' : 'itc'}/${space.revision}/${space.preprocessing}/${imageId}`;
}
