/** Formats embeddings as a reply: JSON, fp16 values, or a `.npy` file. */
import {
  decodeEmbeddings,
  type EmbeddingType,
  embeddingPayload,
} from '@blip2/shared/embedding-codec';
import type { ImageId } from '@blip2/shared/image-id';
import type { EmbeddingsReply } from '@blip2/shared/schemas/embeddings';
import type { CacheResult } from '@blip2/shared/schemas/image';
import { negotiateOrRefuse } from '../http/content-negotiation.ts';
import type { CachedImage } from './embedding-cache.ts';
import type { EmbeddingStore } from './embedding-store.ts';
import { toNpy } from './npy.ts';

/** Offered media types, the preferred one first. */
const MEDIA_TYPES = ['application/json', 'application/octet-stream', 'application/x-npy'] as const;
export type EmbeddingMediaType = (typeof MEDIA_TYPES)[number];

/** Embeddings of one image, and where they came from, as far as it is shown. */
export type LocatedEntry = { id: ImageId; entry: CachedImage; cache?: CacheResult | undefined };

/** A body, and the headers that say what it is: `x-shape` and `x-dtype` as NumPy names them. */
export type Representation = { body: Uint8Array<ArrayBuffer>; headers: Record<string, string> };

/** Values of `type` in little endian, row-major. */
type Matrix = { type: EmbeddingType; payload: Uint8Array; rows: number; columns: number };

/** @throws ApiError `not-acceptable` */
export function embeddingMediaType(accept: string | undefined): EmbeddingMediaType {
  return negotiateOrRefuse(accept, MEDIA_TYPES, {
    'application/octet-stream': 'application/octet-stream (float16 in little endian)',
    'application/x-npy': 'application/x-npy (the type that its header names)',
  });
}

/** The embeddings of an image: `application/octet-stream` is fp16, whatever the values are stored in. */
export function represent(
  mediaType: EmbeddingMediaType,
  store: EmbeddingStore,
  located: LocatedEntry,
): Representation {
  const { shape } = store;
  const matrix = {
    ...embeddingPayload(located.entry.embeddings, shape),
    rows: shape.numQueries,
    columns: shape.hidden,
  };
  return representationOf(mediaType, matrix, () => toEmbeddingsReply(store, located));
}

/** Embeddings of texts, [texts][width]. @param reply the same as JSON */
export function representTexts(
  mediaType: EmbeddingMediaType,
  embeddings: readonly (readonly number[])[],
  reply: unknown,
): Representation {
  const payload = new Uint8Array(Float32Array.from(embeddings.flat()).buffer);
  const [rows, columns] = [embeddings.length, embeddings[0]?.length ?? 0];
  return representationOf(mediaType, { type: 'float32', payload, rows, columns }, () => reply);
}

function representationOf(
  mediaType: EmbeddingMediaType,
  matrix: Matrix,
  toJson: () => unknown,
): Representation {
  const { rows, columns } = matrix;
  const headers = { 'content-type': mediaType, 'x-shape': `${rows}, ${columns}` };
  switch (mediaType) {
    case 'application/json':
      return {
        body: new TextEncoder().encode(JSON.stringify(toJson())) as Uint8Array<ArrayBuffer>,
        headers,
      };
    case 'application/octet-stream':
      return { body: inHalfPrecision(matrix), headers: { ...headers, 'x-dtype': 'float16' } };
    case 'application/x-npy':
      return {
        body: toNpy(matrix, [rows, columns]),
        headers: { ...headers, 'x-dtype': matrix.type },
      };
  }
}

function toEmbeddingsReply(
  { kind, model, shape }: EmbeddingStore,
  { id, entry, cache }: LocatedEntry,
): EmbeddingsReply {
  const { numQueries, hidden, values } = decodeEmbeddings(entry.embeddings, shape);
  const embeddings = Array.from({ length: numQueries }, (_, query) =>
    Array.from(values.subarray(query * hidden, (query + 1) * hidden)),
  );
  return {
    embeddings,
    kind,
    image: { sha256: id, ...entry.image },
    model: model.name,
    ...(cache && { cache }),
  };
}

function inHalfPrecision({ type, payload }: Matrix): Uint8Array<ArrayBuffer> {
  const values = payload.slice();
  if (type === 'float16') return values;
  return new Uint8Array(new Float16Array(new Float32Array(values.buffer)).buffer);
}
