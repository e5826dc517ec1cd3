/**
 * Embeddings by image, and by instruction where they depend on one, in three tiers: this isolate's memory, this location's
 * cache, then Workers KV. Entries are write-once: the key names all that decides the value, so that no tier can hold an
 * old one. What is read from outside the isolate must be intact, sealed for its key, and of an image that was not deleted.
 */
import {
  type EmbeddingId,
  type EmbeddingSpace,
  embeddingKey,
  type ImagePath,
  imagePathOfEmbeddings,
  imagePrefix,
} from '@blip2/shared/cache-key';
import {
  EmbeddingCodecError,
  type EmbeddingShape,
  embeddingPayload,
} from '@blip2/shared/embedding-codec';
import type { ImageInfo } from '@blip2/shared/wire';
import type { Deletions } from '../deletion/deletions.ts';
import { logWarning } from '../log.ts';
import type { RequestContext } from '../request-context.ts';
import { CacheService } from './cache-service.ts';
import { ColoTier } from './colo-tier.ts';
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
  /** Shared by all that remembers something of an image. */
  deletions: Deletions;
};

/** The cached value of an image: its encoded embeddings, and its size and format for the replies. */
export type CachedImage = {
  embeddings: Uint8Array<ArrayBuffer>;
  image: ImageInfo;
  /** When the image was sent, milliseconds since the epoch: what is made of it is as old for deletions. */
  sentAt: number;
};

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

/** An entry that is read in the last quarter of its time is given all of it again. */
const RENEWED_PART = 1 / 4;
/** KV keeps nothing for less. */
const MIN_TTL_SECONDS = 60;

/** An entry that may be used, and when KV was last known to have one of a location. */
type Read = { entry: CachedImage; head: SealedHead };
type ColoRead = Read & { verifiedAt: number };

export class EmbeddingCache {
  readonly #caches: Caches;
  readonly #colo: ColoTier;
  readonly #kv: CacheService;
  readonly #space: EmbeddingSpace;
  readonly #shape: EmbeddingShape;
  readonly #recent: RecentEmbeddings<CachedImage>;
  readonly #sealer: Sealer;
  readonly #deletions: Deletions;
  /** Entries of this isolate's time that could not be used. */
  damagedEntries = 0;

  constructor(caches: Caches, space: EmbeddingSpace, shape: EmbeddingShape) {
    this.#caches = caches;
    this.#colo = new ColoTier(caches);
    this.#kv = new CacheService('kv', caches);
    this.#space = space;
    this.#shape = shape;
    this.#recent = new RecentEmbeddings(caches.now);
    this.#sealer = new Sealer(caches.secret);
    this.#deletions = caches.deletions;
  }

  /** Never rejects: a tier that fails or is silent is a miss, since the image can be encoded again. */
  async lookup(id: EmbeddingId, context: RequestContext): Promise<Lookup> {
    const key = embeddingKey(this.#space, id);
    const recent = this.#fromRecent(id);
    if (recent !== undefined) return { kind: 'hit', tier: 'colo', entry: recent };
    const path = imagePathOfEmbeddings(id);
    const isHidden = ({ head }: Read) => this.#deletions.hides(path, head.sent_at);
    const found = await this.#fromColo(key, context);
    const here = found === 'failed' ? null : found;
    if (here !== null && !isHidden(here) && (await this.#isCurrent(path, here, context))) {
      // Again, since a deletion may have run meanwhile.
      if (isHidden(here)) return { kind: 'miss', reason: 'absent' };
      this.#recent.put(key, here.entry);
      return { kind: 'hit', tier: 'colo', entry: here.entry };
    }
    const askedAt = this.#caches.now();
    const fromKv = await this.#fromKv(id, context);
    if (fromKv.kind === 'miss') {
      if (fromKv.reason === 'absent' && here !== null) {
        context.waitUntil(this.#colo.delete(key, context));
      }
      return fromKv;
    }
    const { entry, head } = fromKv;
    this.#recent.put(key, entry);
    context.waitUntil(
      this.#isOld(head)
        ? this.#store(id, entry, context)
        : this.#putInColo(id, entry, head, askedAt, context),
    );
    return { kind: 'hit', tier: 'kv', entry };
  }

  /**
   * For one of very many: KV is asked first, and what it has is put nowhere else, so that the entries that requests use
   * stay where they are. Never rejects. It is `failed` where the location was not asked either: what may be there is not absent.
   */
  async read(id: EmbeddingId, context: RequestContext): Promise<Lookup> {
    const key = embeddingKey(this.#space, id);
    const recent = this.#fromRecent(id);
    if (recent !== undefined) return { kind: 'hit', tier: 'colo', entry: recent };
    const fromKv = await this.#fromKv(id, context);
    if (fromKv.kind === 'hit') {
      const { entry, head } = fromKv;
      if (this.#isOld(head)) context.waitUntil(this.#store(id, entry, context));
      return { kind: 'hit', tier: 'kv', entry };
    }
    // KV says for a minute what it last said: an image that was just sent is at its location only.
    const here = await this.#fromColo(key, context);
    if (here === 'failed') return { kind: 'miss', reason: 'failed' };
    const path = imagePathOfEmbeddings(id);
    const isUsable = here !== null && (await this.#isCurrent(path, here, context));
    if (!isUsable || this.#deletions.hides(path, here.head.sent_at)) return fromKv;
    return { kind: 'hit', tier: 'colo', entry: here.entry };
  }

  /** This isolate may have learned of a deletion since. */
  #fromRecent(id: EmbeddingId): CachedImage | undefined {
    const entry = this.#recent.get(embeddingKey(this.#space, id));
    if (entry === undefined) return undefined;
    return this.#deletions.hides(imagePathOfEmbeddings(id), entry.sentAt) ? undefined : entry;
  }

  async #fromKv(
    id: EmbeddingId,
    context: RequestContext,
  ): Promise<{ kind: 'hit'; entry: CachedImage; head: SealedHead } | Miss> {
    const key = embeddingKey(this.#space, id);
    const { kv } = this.#caches;
    const stored = await this.#kv.attempt('get', context, () =>
      kv.getWithMetadata(key, 'arrayBuffer'),
    );
    if (stored === undefined) return { kind: 'miss', reason: 'failed' };
    if (stored.value === null) return { kind: 'miss', reason: 'absent' };
    const read = await this.#check('kv', key, stored.value, stored.metadata, context);
    if (read === null) return { kind: 'miss', reason: 'damaged' };
    // KV may be late, and a deletion may have run while it was asked.
    const isHidden = this.#deletions.hides(imagePathOfEmbeddings(id), read.head.sent_at);
    return isHidden ? { kind: 'miss', reason: 'absent' } : { kind: 'hit', ...read };
  }

  #isOld({ expires_at }: SealedHead): boolean {
    return expires_at - this.#seconds() < this.#renewedSeconds();
  }

  /**
   * Never rejects: what cannot be cached is computed again. Nothing is cached of an image that was deleted since it was sent.
   */
  async put(id: EmbeddingId, entry: CachedImage, context: RequestContext): Promise<void> {
    if (this.#deletions.hides(imagePathOfEmbeddings(id), entry.sentAt)) return;
    this.#recent.put(embeddingKey(this.#space, id), entry);
    await this.#store(id, entry, context);
  }

  /** The key of an image's embeddings where they depend on no instruction. */
  keyOf(path: ImagePath): string {
    return embeddingKey(this.#space, path);
  }

  /** Drops what this isolate's memory has of an image. */
  dropRecent(path: ImagePath): void {
    this.#recent.deleteAll(imagePrefix(path));
  }

  /** Never rejects. From all tiers that can be reached from here, without the other embeddings of the image. */
  async #remove(id: EmbeddingId, context: RequestContext): Promise<void> {
    const key = embeddingKey(this.#space, id);
    this.#recent.deleteAll(key);
    await Promise.all([this.#colo.delete(key, context), this.delete(id, context)]);
  }

  #isCurrent(
    path: ImagePath,
    { head, verifiedAt }: ColoRead,
    context: RequestContext,
  ): Promise<boolean> {
    return this.#deletions.isCurrent(path, { sentAt: head.sent_at, verifiedAt }, context);
  }

  /** Never rejects. Only from KV: the other tiers hold nothing that cannot be read. */
  async delete(id: EmbeddingId, context: RequestContext): Promise<void> {
    const key = embeddingKey(this.#space, id);
    await this.#kv.attempt('delete', context, () => this.#caches.kv.delete(key));
  }

  /** Whether embeddings of the image are cached for any instruction. Never rejects; false where that cannot be known. */
  async hasInstructions(path: ImagePath, context: RequestContext): Promise<boolean> {
    const prefix = `${embeddingKey(this.#space, path)}/`;
    const list = await this.#kv.attempt('list', context, () =>
      this.#caches.kv.list({ prefix, limit: 1 }),
    );
    return list !== undefined && list.keys.length > 0;
  }

  /** @throws EmbeddingCodecError when a value is damaged, or of another shape */
  checkValue(embeddings: Uint8Array): void {
    embeddingPayload(embeddings, this.#shape);
  }

  async #fromColo(key: string, context: RequestContext): Promise<ColoRead | null | 'failed'> {
    const found = await this.#colo.read(key, context);
    if (found === null || found === 'failed') return found;
    const { value, head, verifiedAt } = found;
    const read = value && (await this.#check('colo', key, value, head, context));
    if (read) return { ...read, verifiedAt };
    context.waitUntil(this.#colo.delete(key, context));
    return value === undefined ? 'failed' : null;
  }

  async #store(id: EmbeddingId, entry: CachedImage, context: RequestContext): Promise<void> {
    const key = embeddingKey(this.#space, id);
    const { kv, ttlSeconds } = this.#caches;
    const { embeddings, image, sentAt: sent_at } = entry;
    const expires_at = this.#seconds() + ttlSeconds;
    const head = await this.#sealer.seal(key, embeddings, { image, expires_at, sent_at });
    const options = { metadata: head, expirationTtl: Math.max(ttlSeconds, MIN_TTL_SECONDS) };
    await Promise.all([
      this.#putInColo(id, entry, head, this.#caches.now(), context),
      this.#kv.attempt('put', context, () => kv.put(key, embeddings, options)),
    ]);
    context.waitUntil(this.#removeIfDeleted(id, sent_at, context));
  }

  /** A deletion that ran while the entry was written may have missed it, here or at another location. */
  async #removeIfDeleted(id: EmbeddingId, sentAt: number, context: RequestContext): Promise<void> {
    const path = imagePathOfEmbeddings(id);
    const isDeleted = await this.#deletions.hidesAnywhere(path, sentAt, context);
    if (!isDeleted) return;
    const { kv } = this.#caches;
    const key = embeddingKey(this.#space, id);
    const stored = await this.#kv.attempt('get', context, () => kv.getWithMetadata(key, 'stream'));
    context.waitUntil(stored?.value?.cancel() ?? Promise.resolve());
    // It may have been sent again since.
    const head = SealedHead.safeParse(stored?.metadata);
    if (head.success && head.data.sent_at > sentAt) return;
    await this.#remove(id, context);
  }

  /** Until KV's entry may be renewed: a location that has an entry asks KV for nothing. */
  async #putInColo(
    id: EmbeddingId,
    { embeddings }: CachedImage,
    head: SealedHead,
    verifiedAt: number,
    context: RequestContext,
  ): Promise<void> {
    const key = embeddingKey(this.#space, id);
    const seconds = head.expires_at - this.#renewedSeconds() - this.#seconds();
    await this.#colo.put(key, embeddings, { head, verifiedAt, seconds }, context);
    if (this.#deletions.hides(imagePathOfEmbeddings(id), head.sent_at)) {
      await this.#colo.delete(key, context);
    }
  }

  async #check(
    tier: Tier,
    key: string,
    value: ArrayBuffer,
    beside: unknown,
    { requestId: request_id }: RequestContext,
  ): Promise<Read | null> {
    const embeddings = new Uint8Array(value);
    let reason: string;
    try {
      this.checkValue(embeddings);
      const head = SealedHead.safeParse(typeof beside === 'string' ? JSON.parse(beside) : beside);
      if (!head.success) reason = 'there is no seal, or no image info';
      else if (!(await this.#sealer.isSealed(key, embeddings, head.data))) {
        reason = 'the seal is that of another key, value or secret';
      } else if (head.data.expires_at <= this.#seconds()) return null;
      else {
        const { image, sent_at: sentAt } = head.data;
        return { entry: { embeddings, image, sentAt }, head: head.data };
      }
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
