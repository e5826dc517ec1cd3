/** Formats the embeddings of an image as a reply: JSON, fp16 values, or a `.npy` file. */
import { decodeEmbeddings, embeddingPayload } from '@blip2/shared/embedding-codec';
import type { ImageId } from '@blip2/shared/image-id';
import type { EmbeddingsReply } from '@blip2/shared/schemas/embeddings';
import type { CacheResult } from '@blip2/shared/schemas/image';
import type { CachedImage } from './embedding-cache.ts';
import type { EmbeddingStore } from './embedding-store.ts';
import { toNpy } from './npy.ts';

/** Offered media types, the preferred one first. */
export const EMBEDDING_MEDIA_TYPES = [
  'application/json',
  'application/octet-stream',
  'application/x-npy',
] as const;
type MediaType = (typeof EMBEDDING_MEDIA_TYPES)[number];

/** Embeddings of one image, and where they came from. */
export type LocatedEntry = { id: ImageId; entry: CachedImage; cache: CacheResult };

export function toEmbeddingsReply(
  { kind, model, shape }: EmbeddingStore,
  { id, entry, cache }: LocatedEntry,
): EmbeddingsReply {
  const { numQueries, hidden, values } = decodeEmbeddings(entry.embeddings, shape);
  const embeddings = Array.from({ length: numQueries }, (_, query) =>
    Array.from(values.subarray(query * hidden, (query + 1) * hidden)),
  );
  return { embeddings, kind, image: { sha256: id, ...entry.image }, model: model.name, cache };
}

/** The body of a reply: `application/octet-stream` is fp16 in little endian, whatever the values are stored in. */
export function represent(
  mediaType: MediaType,
  store: EmbeddingStore,
  located: LocatedEntry,
): Uint8Array {
  const { shape } = store;
  const { embeddings } = located.entry;
  switch (mediaType) {
    case 'application/json':
      return new TextEncoder().encode(JSON.stringify(toEmbeddingsReply(store, located)));
    case 'application/octet-stream':
      return inHalfPrecision(embeddingPayload(embeddings, shape));
    case 'application/x-npy':
      return toNpy(embeddingPayload(embeddings, shape), [shape.numQueries, shape.hidden]);
  }
}

function inHalfPrecision({ type, payload }: ReturnType<typeof embeddingPayload>): Uint8Array {
  if (type === 'float16') return payload;
  return new Uint8Array(new Float16Array(new Float32Array(payload.slice().buffer)).buffer);
}
