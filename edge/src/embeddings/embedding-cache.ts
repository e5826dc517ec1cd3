/**
 * Embeddings by image, and by instruction where they depend on one, in three tiers: this isolate's memory, this location's
 * cache, then Workers KV. Entries are write-once: the key names all that decides the value, so that no tier can hold an
 * old one. What is read from outside the isolate must be intact and sealed for its key.
 */
import { type EmbeddingId, type EmbeddingSpace, embeddingKey } from '@blip2/shared/cache-key';
import {
  EmbeddingCodecError,
  type EmbeddingShape,
  embeddingPayload,
} from '@blip2/shared/embedding-codec';
import type { ImageId } from '@blip2/shared/image-id';
import type { ImageInfo } from '@blip2/shared/wire';
import { logWarning } from '../log.ts';
import type { RequestContext } from '../request-context.ts';
import { CacheService } from './cache-service.ts';
import { RecentEmbeddings } from './recent-embeddings.ts';
import { SealedHead, Sealer } from './sealed-entry.ts';

/** The services, and how they are used. */
export type Caches = {
  coloCache: Cache;
  kv: KVNamespace;
  /** Milliseconds since the epoch. */
  now: () => number;
  /** How long one call of a service may take. */
  timeoutMs: number;
  /** How long an entry that nobody reads is kept. */
  ttlSeconds: number;
  /** Makes seals that nobody else can. */
  secret?: string | undefined;
};

/** The cached value of an image: its encoded embeddings, and its size and format for the replies. */
export type CachedImage = { embeddings: Uint8Array<ArrayBuffer>; image: ImageInfo };

type Tier = 'colo' | 'kv';

export type Lookup =
  /** `colo`: it was at this location, in its cache or in this isolate. */
  { kind: 'hit'; tier: Tier; entry: CachedImage } | Miss;

/**
 * `absent`: nothing is cached; `damaged`: KV holds an entry that cannot be used, or is too old, to be overwritten or
 * deleted;
 * `failed`: KV did not answer, so that nothing is known.
 */
type Miss = { kind: 'miss'; reason: 'absent' | 'damaged' | 'failed' };

const HEAD_HEADER = 'x-embeddings';
/** An entry that is read in the last quarter of its time is given all of it again. */
const RENEWED_PART = 1 / 4;
/** KV keeps nothing for less. */
const MIN_TTL_SECONDS = 60;

export class EmbeddingCache {
  readonly #caches: Caches;
  readonly #colo: CacheService;
  readonly #kv: CacheService;
  readonly #space: EmbeddingSpace;
  readonly #shape: EmbeddingShape;
  readonly #recent: RecentEmbeddings<CachedImage>;
  readonly #sealer: Sealer;
  /** Entries of this isolate's time that could not be used. */
  damagedEntries = 0;

  constructor(caches: Caches, space: EmbeddingSpace, shape: EmbeddingShape) {
    this.#caches = caches;
    this.#colo = new CacheService('colo', caches);
    this.#kv = new CacheService('kv', caches);
    this.#space = space;
    this.#shape = shape;
    this.#recent = new RecentEmbeddings(caches.now);
    this.#sealer = new Sealer(caches.secret);
  }

  /** Never rejects: a tier that fails or is silent is a miss, since the image can be encoded again. */
  async lookup(id: EmbeddingId, context: RequestContext): Promise<Lookup> {
    const key = embeddingKey(this.#space, id);
    const recent = this.#recent.get(key);
    if (recent !== undefined) return { kind: 'hit', tier: 'colo', entry: recent };
    const fromColo = await this.#fromColo(key, context);
    if (fromColo !== null) {
      this.#recent.put(key, fromColo);
      return { kind: 'hit', tier: 'colo', entry: fromColo };
    }
    const fromKv = await this.#fromKv(key, context);
    if (fromKv.kind === 'miss') return fromKv;
    const { entry, head } = fromKv;
    this.#recent.put(key, entry);
    context.waitUntil(
      this.#isOld(head)
        ? this.#store(key, entry, context)
        : this.#putInColo(key, entry, head, context),
    );
    return { kind: 'hit', tier: 'kv', entry };
  }

  /**
   * For one of very many: KV is asked first, and what it has is put nowhere else, so that the entries that requests use
   * stay where they are. Never rejects.
   */
  async read(id: EmbeddingId, context: RequestContext): Promise<Lookup> {
    const key = embeddingKey(this.#space, id);
    const recent = this.#recent.get(key);
    if (recent !== undefined) return { kind: 'hit', tier: 'colo', entry: recent };
    const fromKv = await this.#fromKv(key, context);
    if (fromKv.kind === 'hit') {
      const { entry, head } = fromKv;
      if (this.#isOld(head)) context.waitUntil(this.#store(key, entry, context));
      return { kind: 'hit', tier: 'kv', entry };
    }
    // KV says for a minute what it last said: an image that was just sent is at its location only.
    const fromColo = await this.#fromColo(key, context);
    return fromColo === null ? fromKv : { kind: 'hit', tier: 'colo', entry: fromColo };
  }

  async #fromKv(
    key: string,
    context: RequestContext,
  ): Promise<{ kind: 'hit'; entry: CachedImage; head: SealedHead } | Miss> {
    const { kv } = this.#caches;
    const stored = await this.#kv.attempt('get', context, () =>
      kv.getWithMetadata(key, 'arrayBuffer'),
    );
    if (stored === undefined) return { kind: 'miss', reason: 'failed' };
    if (stored.value === null) return { kind: 'miss', reason: 'absent' };
    const read = await this.#check('kv', key, stored.value, stored.metadata, context);
    return read === null ? { kind: 'miss', reason: 'damaged' } : { kind: 'hit', ...read };
  }

  #isOld({ expires_at }: SealedHead): boolean {
    return expires_at - this.#seconds() < this.#renewedSeconds();
  }

  /** Never rejects: what cannot be cached is computed again. */
  async put(id: EmbeddingId, entry: CachedImage, context: RequestContext): Promise<void> {
    const key = embeddingKey(this.#space, id);
    this.#recent.put(key, entry);
    await this.#store(key, entry, context);
  }

  /** Never rejects. Only from KV: the other tiers hold nothing that cannot be read. */
  async delete(id: EmbeddingId, context: RequestContext): Promise<void> {
    const key = embeddingKey(this.#space, id);
    await this.#kv.attempt('delete', context, () => this.#caches.kv.delete(key));
  }

  /** Whether embeddings of the image are cached for any instruction. Never rejects; false where that cannot be known. */
  async hasInstructions(imageId: ImageId, context: RequestContext): Promise<boolean> {
    const prefix = `${embeddingKey(this.#space, imageId)}/`;
    const list = await this.#kv.attempt('list', context, () =>
      this.#caches.kv.list({ prefix, limit: 1 }),
    );
    return list !== undefined && list.keys.length > 0;
  }

  /** @throws EmbeddingCodecError when a value is damaged, or of another shape */
  checkValue(embeddings: Uint8Array): void {
    embeddingPayload(embeddings, this.#shape);
  }

  async #fromColo(key: string, context: RequestContext): Promise<CachedImage | null> {
    const { coloCache } = this.#caches;
    const url = coloUrl(key);
    const response = await this.#colo.attempt('get', context, () => coloCache.match(url));
    if (response === undefined) return null;
    const head = response.headers.get(HEAD_HEADER);
    const value = await this.#colo.attempt('read', context, () => response.arrayBuffer());
    const read = value && (await this.#check('colo', key, value, head, context));
    if (read) return read.entry;
    context.waitUntil(this.#colo.attempt('delete', context, () => coloCache.delete(url)));
    return null;
  }

  async #store(key: string, entry: CachedImage, context: RequestContext): Promise<void> {
    const { kv, ttlSeconds } = this.#caches;
    const { embeddings, image } = entry;
    const expires_at = this.#seconds() + ttlSeconds;
    const head = await this.#sealer.seal(key, embeddings, { image, expires_at });
    const options = { metadata: head, expirationTtl: Math.max(ttlSeconds, MIN_TTL_SECONDS) };
    await Promise.all([
      this.#putInColo(key, entry, head, context),
      this.#kv.attempt('put', context, () => kv.put(key, embeddings, options)),
    ]);
  }

  /** Until KV's entry may be renewed: a location that has an entry asks KV for nothing. */
  async #putInColo(
    key: string,
    { embeddings }: CachedImage,
    head: SealedHead,
    context: RequestContext,
  ): Promise<void> {
    const seconds = head.expires_at - this.#renewedSeconds() - this.#seconds();
    const response = new Response(embeddings, {
      headers: {
        'cache-control': `public, max-age=${Math.max(1, Math.floor(seconds))}, immutable`,
        [HEAD_HEADER]: JSON.stringify(head),
      },
    });
    await this.#colo.attempt('put', context, () =>
      this.#caches.coloCache.put(coloUrl(key), response),
    );
  }

  async #check(
    tier: Tier,
    key: string,
    value: ArrayBuffer,
    beside: unknown,
    { requestId: request_id }: RequestContext,
  ): Promise<{ entry: CachedImage; head: SealedHead } | null> {
    const embeddings = new Uint8Array(value);
    let reason: string;
    try {
      this.checkValue(embeddings);
      const head = SealedHead.safeParse(typeof beside === 'string' ? JSON.parse(beside) : beside);
      if (!head.success) reason = 'there is no seal, or no image info';
      else if (!(await this.#sealer.isSealed(key, embeddings, head.data))) {
        reason = 'the seal is that of another key, value or secret';
      } else if (head.data.expires_at <= this.#seconds()) return null;
      else return { entry: { embeddings, image: head.data.image }, head: head.data };
    } catch (error) {
      reason =
        error instanceof EmbeddingCodecError ? error.message : 'what is beside it is no JSON';
    }
    this.damagedEntries++;
    const count = this.damagedEntries;
    logWarning('damaged-embeddings', { request_id, tier, reason, count });
    return null;
  }

  #seconds(): number {
    return Math.floor(this.#caches.now() / 1000);
  }

  #renewedSeconds(): number {
    return this.#caches.ttlSeconds * RENEWED_PART;
  }
}

/** The Cache API knows entries by URL; this host is never asked. */
function coloUrl(key: string): string {
  return `https://embeddings.blip2.invalid/${key}`;
}
