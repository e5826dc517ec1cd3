/** Keys under which the embeddings of an image are cached: write-once, since they name all that decides the value. */
import { Buffer } from 'node:buffer';
import type { ImageId } from './image-id.ts';
import type { EmbeddingKind } from './wire.ts';

/** The properties of a bundle that decide the embeddings of an image. */
export type EmbeddingSpace = { kind: EmbeddingKind; revision: string; preprocessing: string };

/** How the namespace is called in paths that all callers without one of their own share. */
const SHARED = 'shared';

/**
 * Names an image within a cache namespace: nothing that is remembered of an image is found without the namespace of who asks.
 * @example 'shared/5e3f…' // or '<32 digits of a tenant>/5e3f…'
 */
export type ImagePath = `${string}/${ImageId}`;

/** Names embeddings within their space: the path of the image, and where the Q-Former reads an instruction the hash of that. */
export type EmbeddingId = ImagePath | `${ImagePath}/${string}`;

/** @param namespace 32 hexadecimal digits; '' is the shared one */
export function imagePathOf(namespace: string, imageId: ImageId): ImagePath {
  return `${namespace === '' ? SHARED : namespace}/${imageId}`;
}

/** The path's namespace as it stands in keys, and its image. */
export function partsOf(path: ImagePath | EmbeddingId): { namespace: string; imageId: ImageId } {
  const [namespace = '', imageId = ''] = path.split('/');
  return { namespace, imageId };
}

/** The path of the image that embeddings are of. */
export function imagePathOfEmbeddings(id: EmbeddingId): ImagePath {
  const { namespace, imageId } = partsOf(id);
  return `${namespace}/${imageId}`;
}

/** @param instructionIds token ids that the Q-Former reads beside the image; none where it reads the image alone */
export async function embeddingIdOf(
  path: ImagePath,
  instructionIds?: readonly number[],
): Promise<EmbeddingId> {
  if (instructionIds === undefined) return path;
  const digest = await crypto.subtle.digest('SHA-256', Uint32Array.from(instructionIds));
  return `${path}/${Buffer.from(digest).toString('hex')}`;
}

/** With what the keys of all embeddings of an image begin, whatever their kind, their instruction and the model's revision. */
export function imagePrefix(path: ImagePath): string {
  return `images/${path}/`;
}

/**
 * `images/<namespace>/<image id>/qf/<revision>/<preprocessing>` for query embeddings, with `/<hash of the instruction>` behind
 * it where they depend on one; `…/itc/…` for those of ITC. At most 512 bytes, the limit of Workers KV for a key.
 */
export function embeddingKey(
  { kind, revision, preprocessing }: EmbeddingSpace,
  id: EmbeddingId,
): string {
  const path = imagePathOfEmbeddings(id);
  const space = `${kind === 'query' ? 'qf' : 'itc'}/${revision}/${preprocessing}`;
  return `${imagePrefix(path)}${space}${id.slice(path.length)}`;
}
