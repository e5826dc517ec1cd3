/**
 * Embeddings by image, and by instruction where they depend on one, in three tiers: this isolate's memory, this location's
 * cache, then Workers KV. Entries are write-once: the key names all that decides the value, so that no tier can hold an old one.
 */
import { type EmbeddingId, type EmbeddingSpace, embeddingKey } from '@blip2/shared/cache-key';
import {
  EmbeddingCodecError,
  type EmbeddingShape,
  embeddingPayload,
} from '@blip2/shared/embedding-codec';
import type { ImageId } from '@blip2/shared/image-id';
import { ImageInfo } from '@blip2/shared/wire';
import { logWarning } from '../log.ts';
import type { RequestContext } from '../request-context.ts';
import { RecentEmbeddings } from './recent-embeddings.ts';

/** `now`: milliseconds since the epoch. */
export type Caches = { coloCache: Cache; kv: KVNamespace; now: () => number };

/** The cached value of an image: its encoded embeddings, and its size and format for the replies. */
export type CachedImage = { embeddings: Uint8Array<ArrayBuffer>; image: ImageInfo };

type Tier = 'colo' | 'kv';

export type Lookup =
  /** `colo`: it was at this location, in its cache or in this isolate. */
  | { kind: 'hit'; tier: Tier; entry: CachedImage }
  /**
   * `absent`: nothing is cached; `damaged`: KV holds an entry that cannot be read, to be overwritten or deleted;
   * `failed`: KV did not answer, so that nothing is known.
   */
  | { kind: 'miss'; reason: 'absent' | 'damaged' | 'failed' };

const IMAGE_HEADER = 'x-image';

export class EmbeddingCache {
  readonly #colo: Cache;
  readonly #kv: KVNamespace;
  readonly #space: EmbeddingSpace;
  readonly #shape: EmbeddingShape;
  readonly #recent: RecentEmbeddings<CachedImage>;
  /** Entries of this isolate's time that could not be read. */
  damagedEntries = 0;

  constructor({ coloCache, kv, now }: Caches, space: EmbeddingSpace, shape: EmbeddingShape) {
    this.#colo = coloCache;
    this.#kv = kv;
    this.#space = space;
    this.#shape = shape;
    this.#recent = new RecentEmbeddings(now);
  }

  /** Never rejects: a tier that fails is a miss, since the image can be encoded again. */
  async lookup(id: EmbeddingId, context: RequestContext): Promise<Lookup> {
    const key = embeddingKey(this.#space, id);
    const recent = this.#recent.get(key);
    if (recent !== undefined) return { kind: 'hit', tier: 'colo', entry: recent };
    const fromColo = await this.#fromColo(key, context);
    if (fromColo !== null) {
      this.#recent.put(key, fromColo);
      return { kind: 'hit', tier: 'colo', entry: fromColo };
    }
    let stored: KVNamespaceGetWithMetadataResult<ArrayBuffer, unknown>;
    try {
      stored = await this.#kv.getWithMetadata(key, 'arrayBuffer');
    } catch (error) {
      logFailure('kv get', error, context);
      return { kind: 'miss', reason: 'failed' };
    }
    if (stored.value === null) return { kind: 'miss', reason: 'absent' };
    const entry = this.#check('kv', stored.value, stored.metadata, context);
    if (entry === null) return { kind: 'miss', reason: 'damaged' };
    this.#recent.put(key, entry);
    context.waitUntil(this.#putInColo(key, entry, context));
    return { kind: 'hit', tier: 'kv', entry };
  }

  /** Never rejects: what cannot be cached is computed again. */
  async put(id: EmbeddingId, entry: CachedImage, context: RequestContext): Promise<void> {
    const key = embeddingKey(this.#space, id);
    this.#recent.put(key, entry);
    await Promise.all([
      this.#putInColo(key, entry, context),
      attempt('kv put', context, () =>
        this.#kv.put(key, entry.embeddings, { metadata: entry.image }),
      ),
    ]);
  }

  /** Never rejects. Only from KV: the other tiers hold nothing that cannot be read. */
  async delete(id: EmbeddingId, context: RequestContext): Promise<void> {
    const key = embeddingKey(this.#space, id);
    await attempt('kv delete', context, () => this.#kv.delete(key));
  }

  /** Whether embeddings of the image are cached for any instruction. Never rejects; false where that cannot be known. */
  async hasInstructions(imageId: ImageId, context: RequestContext): Promise<boolean> {
    const prefix = `${embeddingKey(this.#space, imageId)}/`;
    const list = await attempt('kv list', context, () => this.#kv.list({ prefix, limit: 1 }));
    return list !== undefined && list.keys.length > 0;
  }

  /** @throws EmbeddingCodecError when a value is damaged, or of another shape */
  checkValue(embeddings: Uint8Array): void {
    embeddingPayload(embeddings, this.#shape);
  }

  async #fromColo(key: string, context: RequestContext): Promise<CachedImage | null> {
    const url = coloUrl(key);
    const response = await attempt('colo match', context, () => this.#colo.match(url));
    if (response === undefined) return null;
    const info = response.headers.get(IMAGE_HEADER);
    const value = await attempt('colo read', context, () => response.arrayBuffer());
    const entry = value && this.#check('colo', value, info, context);
    if (entry) return entry;
    context.waitUntil(attempt('colo delete', context, () => this.#colo.delete(url)));
    return null;
  }

  async #putInColo(
    key: string,
    { embeddings, image }: CachedImage,
    context: RequestContext,
  ): Promise<void> {
    const response = new Response(embeddings, {
      headers: {
        'cache-control': 'public, max-age=31536000, immutable',
        [IMAGE_HEADER]: JSON.stringify(image),
      },
    });
    await attempt('colo put', context, () => this.#colo.put(coloUrl(key), response));
  }

  #check(
    tier: Tier,
    value: ArrayBuffer,
    image: unknown,
    { requestId: request_id }: RequestContext,
  ): CachedImage | null {
    const embeddings = new Uint8Array(value);
    try {
      this.checkValue(embeddings);
      const info: unknown = typeof image === 'string' ? JSON.parse(image) : image;
      return { embeddings, image: ImageInfo.parse(info) };
    } catch (error) {
      this.damagedEntries++;
      const reason = error instanceof EmbeddingCodecError ? error.message : 'no image info';
      const count = this.damagedEntries;
      logWarning('damaged-embeddings', { request_id, tier, reason, count });
      return null;
    }
  }
}

/** The Cache API knows entries by URL; this host is never asked. */
function coloUrl(key: string): string {
  return `https://embeddings.blip2.invalid/${key}`;
}

/** The result, or `undefined` where a tier fails, which is only logged. */
async function attempt<T>(
  operation: string,
  context: RequestContext,
  run: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await run();
  } catch (error) {
    logFailure(operation, error, context);
    return undefined;
  }
}

function logFailure(operation: string, error: unknown, { requestId }: RequestContext): void {
  logWarning('cache-failure', { request_id: requestId, operation, error: String(error) });
}
