/** Looks the embeddings of an image up, and decides which request computes them on a miss. */
import { type EmbeddingId, embeddingIdOf, imagePathOf } from '@blip2/shared/cache-key';
import { ApiError } from '@blip2/shared/errors';
import type { CacheResult } from '@blip2/shared/schemas/image';
import type { EmbeddingKind } from '@blip2/shared/wire';
import { hasBytes, type ImageInput } from '../image/image-input.ts';
import type { RequestContext } from '../request-context.ts';
import { inSpan } from '../tracing.ts';
import type { Follower, Leader } from '../turns/single-flight.ts';
import { waitOutside } from '../work-in-hand.ts';
import type { CachedImage } from './embedding-cache.ts';
import type { EmbeddingStore } from './embedding-store.ts';

/** An image, and what the Q-Former reads beside it: token ids of the instruction, where the model's reads one. */
export type Subject = ImageInput & { instructionIds?: readonly number[] | undefined };

/** An image whose embeddings have been looked up, before anything is computed. */
export type LocatedImage = Subject & {
  embeddingId: EmbeddingId;
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
  store: EmbeddingStore,
  subject: Subject,
  context: RequestContext,
): Promise<LocatedImage> {
  const { cache, flights } = store;
  const { id, instructionIds } = subject;
  const embeddingId = await embeddingIdOf(imagePathOf(context.namespace, id), instructionIds);
  const image = { ...subject, embeddingId };
  const isSent = hasBytes(subject);
  const sentAt = isSent ? context.startedAt : undefined;
  const flight = flights.follow(embeddingId, sentAt);
  if (flight !== null) return { ...image, embeddings: { kind: 'pending', flight } };
  const lookup = await inSpan('look up embeddings', () => cache.lookup(embeddingId, context));
  if (lookup.kind === 'hit') {
    return { ...image, embeddings: { kind: 'cached', entry: lookup.entry, cache: lookup.tier } };
  }
  if (isSent) return { ...image, embeddings: { kind: 'absent' } };
  // The image may have been sent while the look-up was under way.
  const late = flights.follow(embeddingId);
  if (late !== null) return { ...image, embeddings: { kind: 'pending', flight: late } };
  if (lookup.reason === 'failed') throw cacheUnavailable();
  if (lookup.reason === 'damaged') context.waitUntil(cache.delete(embeddingId, context));
  throw await unknownImage(store, subject, context);
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
  store: EmbeddingStore,
  image: LocatedImage,
  context: RequestContext,
): Promise<ResolvedEmbeddings> {
  const { flights } = store;
  const { embeddingId, embeddings } = image;
  const isSent = hasBytes(image);
  if (embeddings.kind === 'cached') return embeddings;
  let follower = embeddings.kind === 'pending' ? embeddings.flight : null;
  for (;;) {
    if (follower === null) {
      if (!isSent) throw await unknownImage(store, image, context);
      const joined = await joinWithBytes(store, image, context);
      if (joined !== null && 'kind' in joined) return joined;
      follower = joined;
    }
    if (follower === null) continue;
    // Hundreds may wait for one encode, and need places again for what comes after it.
    const entry = await waitOutside(context.work, follower.wait(context));
    if (entry !== null) {
      return { kind: 'cached', cache: follower.settled ? 'colo' : 'miss', entry };
    }
    follower = flights.follow(embeddingId, isSent ? context.startedAt : undefined);
  }
}

type Encode = Extract<ResolvedEmbeddings, { kind: 'encode' }>;

/**
 * Leads once it has the bytes, not before: whoever sent them does not wait for the turns of a client that has yet to read them.
 * Of one client's requests for an image that is stored, one reads it.
 * @returns null where another of this client has read it: look again
 */
async function joinWithBytes(
  { flights, reads }: EmbeddingStore,
  { embeddingId, bytes, read }: LocatedImage,
  context: RequestContext,
): Promise<Encode | Follower<CachedImage> | null> {
  const { client = '', startedAt } = context;
  const join = (sent: Uint8Array): Encode | Follower<CachedImage> => {
    const flight = flights.join(embeddingId, startedAt);
    return flight.role === 'leader'
      ? { kind: 'encode', cache: 'miss', bytes: sent, flight }
      : flight;
  };
  if (bytes !== undefined) return join(bytes);
  const other = flights.follow(embeddingId, startedAt);
  if (other !== null) return other;
  if (read === undefined) throw new Error('an image without bytes is not encoded');
  const reading = reads.join(`${embeddingId} ${client}`, startedAt);
  if (reading.role === 'follower') return await waitOutside(context.work, reading.wait(context));
  try {
    const sent = await read();
    // Before those that waited for this read look again.
    return join(sent);
  } finally {
    reading.leave();
  }
}

/**
 * The problem of a request by hash alone for embeddings that are in no cache.
 * @param field the member of the request that holds the hash
 */
export async function unknownImage(
  { kind, cache }: EmbeddingStore,
  { id, instructionIds }: Subject,
  context: RequestContext,
  field = 'image.sha256',
): Promise<ApiError> {
  const path = imagePathOf(context.namespace, id);
  const isKnown = instructionIds !== undefined && (await cache.hasInstructions(path, context));
  return new ApiError('unknown-image', isKnown ? OTHER_INSTRUCTION : NOTHING_CACHED[kind], {
    field,
  });
}

const OTHER_INSTRUCTION =
  'This image is known with other instructions only, and this model reads the prompt along with the image: send the image itself again.';
const NOTHING_CACHED: Record<EmbeddingKind, string> = {
  itc: 'No ITC embeddings are cached for this image: POST it to /v1/embeddings with kind itc once.',
  query: 'No embeddings are cached for this hash: send the image itself once.',
};

export function cacheUnavailable(): ApiError {
  return new ApiError(
    'cache-unavailable',
    'Whether the image is known cannot be looked up now: try again, or send the image itself.',
    { retry_after: 5 },
  );
}
