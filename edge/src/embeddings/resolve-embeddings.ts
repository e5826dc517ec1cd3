/** Looks the embeddings of an image up, and decides which request computes them on a miss. */
import { ApiError } from '@blip2/shared/errors';
import type { CacheResult } from '@blip2/shared/schemas/image';
import type { EmbeddingKind } from '@blip2/shared/wire';
import type { ImageInput } from '../image/image-source.ts';
import type { RequestContext } from '../request-context.ts';
import type { CachedImage } from './embedding-cache.ts';
import type { EmbeddingStore } from './embedding-store.ts';
import type { Follower, Leader } from './single-flight.ts';

/** An image whose embeddings have been looked up, before anything is computed. */
export type LocatedImage = ImageInput & {
  embeddings:
    | { kind: 'cached'; entry: CachedImage; cache: CacheResult }
    /** Another request computes them, or has just done so. */
    | { kind: 'pending'; flight: Follower<CachedImage> }
    | { kind: 'absent' };
};

/**
 * Looks the embeddings up. It comes before the reply begins, so that an unknown hash is a problem with a status.
 * @throws ApiError `unknown-image` when only a hash was sent and nothing is cached for it; `cache-unavailable` when
 *   that cannot be known
 */
export async function locateEmbeddings(
  { kind, cache, flights }: EmbeddingStore,
  image: ImageInput,
  context: RequestContext,
): Promise<LocatedImage> {
  const { id, bytes } = image;
  const flight = flights.follow(id);
  if (flight !== null) return { ...image, embeddings: { kind: 'pending', flight } };
  const lookup = await cache.lookup(id, context);
  if (lookup.kind === 'hit') {
    return { ...image, embeddings: { kind: 'cached', entry: lookup.entry, cache: lookup.tier } };
  }
  if (bytes !== undefined) return { ...image, embeddings: { kind: 'absent' } };
  // The image may have been sent while the look-up was under way.
  const late = flights.follow(id);
  if (late !== null) return { ...image, embeddings: { kind: 'pending', flight: late } };
  if (lookup.reason === 'failed') throw cacheUnavailable();
  if (lookup.reason === 'damaged') context.waitUntil(cache.delete(id, context));
  throw unknownImage(kind);
}

/** Embeddings, or the duty to compute them for all requests that wait for them. */
export type ResolvedEmbeddings =
  | { kind: 'cached'; cache: CacheResult; entry: CachedImage }
  | { kind: 'encode'; cache: 'miss'; bytes: Uint8Array; flight: Leader<CachedImage> };

/**
 * Waits for the request that computes the embeddings; where that fails, one of the waiting requests computes them.
 * @throws ApiError a problem with the image itself, or `unknown-image` when the only request that had the bytes is gone
 */
export async function resolveEmbeddings(
  { kind, flights }: EmbeddingStore,
  { id, bytes, embeddings }: LocatedImage,
  { signal }: RequestContext,
): Promise<ResolvedEmbeddings> {
  if (embeddings.kind === 'cached') return embeddings;
  let follower = embeddings.kind === 'pending' ? embeddings.flight : null;
  for (;;) {
    if (follower === null) {
      if (bytes === undefined) throw unknownImage(kind);
      const flight = flights.join(id);
      if (flight.role === 'leader') return { kind: 'encode', cache: 'miss', bytes, flight };
      follower = flight;
    }
    const entry = await follower.wait(signal);
    if (entry !== null) {
      return { kind: 'cached', cache: follower.settled ? 'colo' : 'miss', entry };
    }
    follower = flights.follow(id);
  }
}

/** @param field the member of the request that holds the hash */
export function unknownImage(kind: EmbeddingKind, field = 'image.sha256'): ApiError {
  const detail =
    kind === 'itc'
      ? 'No ITC embeddings are cached for this image: POST it to /v1/embeddings with kind itc once.'
      : 'No embeddings are cached for this hash: send the image itself once.';
  return new ApiError('unknown-image', detail, { field });
}

export function cacheUnavailable(): ApiError {
  return new ApiError(
    'cache-unavailable',
    'Whether the image is known cannot be looked up now: try again, or send the image itself.',
    { retry_after: 5 },
  );
}
