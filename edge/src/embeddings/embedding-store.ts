/** The embeddings of one kind: their model, their shape, their cache, and the encodes under way. */
import type { EmbeddingId } from '@blip2/shared/cache-key';
import type { EmbeddingShape } from '@blip2/shared/embedding-codec';
import type { EmbeddingKind } from '@blip2/shared/wire';
import { SingleFlight } from '../turns/single-flight.ts';
import { type CachedImage, type Caches, EmbeddingCache } from './embedding-cache.ts';

/** The numbers of the model that computes the embeddings. */
type EmbeddingModel = {
  name: string;
  revision: string;
  preprocessing: string;
  num_query_tokens: number;
};

export type EmbeddingStore = {
  kind: EmbeddingKind;
  model: Pick<EmbeddingModel, 'name' | 'revision'>;
  shape: EmbeddingShape;
  cache: EmbeddingCache;
  /** Encodes under way. */
  flights: SingleFlight<EmbeddingId, CachedImage>;
  /** Reads of stored images, which end with an encode or with nothing: one client's, since each waits for its own turns. */
  reads: SingleFlight<string, never>;
};

/**
 * @param caches `flightMs`: how long an encode may take, milliseconds
 * @param hidden width of an embedding
 */
export function createEmbeddingStore(
  caches: Caches & { flightMs: number },
  kind: EmbeddingKind,
  model: EmbeddingModel,
  hidden: number,
): EmbeddingStore {
  const { revision, preprocessing } = model;
  const shape = { numQueries: model.num_query_tokens, hidden };
  return {
    kind,
    model,
    shape,
    cache: new EmbeddingCache(caches, { kind, revision, preprocessing }, shape),
    flights: new SingleFlight(caches.now, caches.flightMs),
    reads: new SingleFlight(caches.now, caches.flightMs),
  };
}
