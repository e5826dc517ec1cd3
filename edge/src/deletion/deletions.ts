/**
 * Which images were deleted when: what was sent before its deletion is not used, wherever a cache still holds it.
 *
 * Three memories, from the exact to the far-reaching. This isolate's own holds at once. A tombstone for each image in KV is
 * read by whoever has stored something of an image, after storing it: a deletion that ran meanwhile takes it along. And
 * since no location can purge the cache of another, each namespace has the time of its last deletion in KV, which an isolate
 * reads at most about once a minute: an older entry of a location counts for nothing until KV has been asked again.
 */
import { type ImagePath, partsOf } from '@blip2/shared/cache-key';
import { LRUCache } from 'lru-cache';
import { CacheService, type Patience } from '../embeddings/cache-service.ts';
import type { RequestContext } from '../request-context.ts';

/** Longer than any memory holds that relies on tombstones alone: replies under an `Idempotency-Key` are stored for a day. */
const TOMBSTONE_SECONDS = 25 * 3600;
/** How long a location of KV believes what it read; the least that KV allows. */
const KV_TTL_SECONDS = 30;
/** For how long an isolate believes the last deletion of a namespace: then it asks beside its work, and later before it. */
const FRESH_MS = 30_000;
const STALE_MS = 60_000;
/** One of the requests that come meanwhile asks; where KV fails, the next after so long. */
const REASK_MS = 2000;
/** KV may be so late with a deletion: what it said sooner after one is asked again. */
const KV_LAG_MS = 120_000;
/** A namespace's last deletion is written at most so often, since KV takes one write a second. It is far below `KV_LAG_MS`. */
const WRITE_EVERY_MS = 5000;
/** How old a verification may be that a tombstone renews: a deletion since has left one that is still there. */
const RENEWABLE_MS = TOMBSTONE_SECONDS * 1000 - 2 * KV_LAG_MS;
/** What is found by a hash may be of an image that was deleted so long before, where nobody knew yet. */
export const KNOWN_LATE_MS = 240_000;
const RETRY_MS = 1100;
/** KV keeps nothing for less. */
const MIN_TTL_SECONDS = 60;
const MAX_IMAGES = 10_000;
const MAX_NAMESPACES = 1024;

/** Milliseconds since the epoch: the last deletion known, when KV was asked for it, and when this isolate wrote one. */
type LastDeletion = { at: number; readAt: number; askedAt: number; writtenAt: number };

type DeletionOptions = Patience & {
  kv: KVNamespace;
  /** How long an entry may be cached. */
  ttlSeconds: number;
};

export class Deletions {
  readonly #options: DeletionOptions;
  readonly #service: CacheService;
  readonly #images: LRUCache<ImagePath, number>;
  readonly #namespaces = new LRUCache<string, LastDeletion>({
    maxSize: MAX_NAMESPACES,
    sizeCalculation: () => 1,
  });

  constructor(options: DeletionOptions) {
    this.#options = options;
    this.#service = new CacheService('kv', options);
    this.#images = new LRUCache({
      // Not `max`, which takes its memory ahead: every object of a caller has deletions of its own.
      maxSize: MAX_IMAGES,
      sizeCalculation: () => 1,
      ttl: TOMBSTONE_SECONDS * 1000,
      ttlResolution: 0,
      perf: { now: options.now },
    });
  }

  /** Holds in this isolate from now on. @returns milliseconds since the epoch */
  begin(path: ImagePath): number {
    const at = this.#options.now();
    this.#note(path, at);
    return at;
  }

  /** Tells other isolates, and waits until it is written. @returns whether KV has taken it */
  async publish(path: ImagePath, at: number, context: RequestContext): Promise<boolean> {
    const { namespace } = partsOf(path);
    const stored = await this.#write(tombstoneKey(path), at, TOMBSTONE_SECONDS, 0, context);
    if (!stored) return false;
    const last = this.#lastOf(namespace);
    if (last.writtenAt > at - WRITE_EVERY_MS && last.writtenAt <= at) return true;
    const { ttlSeconds } = this.#options;
    const key = namespaceKey(namespace);
    const seconds = Math.max(ttlSeconds, TOMBSTONE_SECONDS);
    const isKnown = await this.#write(key, at, seconds, WRITE_EVERY_MS, context);
    if (isKnown) last.writtenAt = at;
    return isKnown;
  }

  /**
   * Whether an image was deleted after it was sent, as far as this isolate knows: no wait, and no look-up.
   * @param sentAt milliseconds since the epoch
   */
  hides(path: ImagePath, sentAt: number): boolean {
    return sentAt <= (this.#images.get(path) ?? Number.NEGATIVE_INFINITY);
  }

  /** The same as far as KV knows: for what was stored just now, or is held without an entry in KV. Never rejects. */
  async hidesAnywhere(path: ImagePath, sentAt: number, context: RequestContext): Promise<boolean> {
    if (this.hides(path, sentAt)) return true;
    const at = await this.#read(tombstoneKey(path), context);
    if (at === undefined || at < sentAt) return false;
    this.#note(path, at);
    return true;
  }

  /**
   * When an image of a namespace was last deleted, as this isolate knows: milliseconds since the epoch, before all times where
   * none was. What was sent later was not deleted. Never rejects.
   */
  async lastIn(path: ImagePath, context: RequestContext): Promise<number> {
    return await this.#lastIn(partsOf(path).namespace, context);
  }

  /**
   * Whether an image was deleted after it was sent, of which something is stored for a day at most. KV is asked only where
   * its namespace has a later deletion. Never rejects; false where KV cannot be read.
   */
  async hasDeleted(path: ImagePath, sentAt: number, context: RequestContext): Promise<boolean> {
    if (this.hides(path, sentAt)) return true;
    if (sentAt > (await this.lastIn(path, context))) return false;
    return await this.hidesAnywhere(path, sentAt, context);
  }

  /**
   * Whether an entry of this location's cache may be used without asking KV. Never rejects; true where KV cannot be read.
   * @param entry milliseconds since the epoch: when its image was sent, and when KV was last known to have it
   */
  async isCurrent(
    path: ImagePath,
    { sentAt, verifiedAt }: { sentAt: number; verifiedAt: number },
    context: RequestContext,
  ): Promise<boolean> {
    const deletedAt = await this.#lastIn(partsOf(path).namespace, context);
    return sentAt > deletedAt || verifiedAt > deletedAt + KV_LAG_MS;
  }

  /**
   * The same for an entry of which KV has nothing: where another image of its namespace may have been deleted since, KV is
   * asked for the tombstone of its own. Never rejects.
   * @returns when its image was last known not to have been deleted, milliseconds since the epoch; null where it may have been
   */
  async verify(
    path: ImagePath,
    { sentAt, verifiedAt }: { sentAt: number; verifiedAt: number },
    context: RequestContext,
  ): Promise<number | null> {
    const isCurrent = await this.isCurrent(path, { sentAt, verifiedAt }, context);
    if (isCurrent) return this.hides(path, sentAt) ? null : verifiedAt;
    const askedAt = this.#options.now();
    if (askedAt - verifiedAt > RENEWABLE_MS) return null;
    const at = await this.#read(tombstoneKey(path), context);
    if (at === undefined) return null;
    if (at > Number.NEGATIVE_INFINITY) this.#note(path, at);
    return this.hides(path, sentAt) ? null : askedAt;
  }

  async #lastIn(namespace: string, context: RequestContext): Promise<number> {
    const last = this.#lastOf(namespace);
    const now = this.#options.now();
    const age = now - last.readAt;
    if (age >= 0 && age < FRESH_MS) return last.at;
    if (age < STALE_MS && now - last.askedAt < REASK_MS) return last.at;
    last.askedAt = now;
    const reading = this.#refresh(namespace, last, context);
    if (age >= 0 && age < STALE_MS) context.waitUntil(reading);
    else await reading;
    return last.at;
  }

  async #refresh(namespace: string, last: LastDeletion, context: RequestContext): Promise<void> {
    const askedAt = this.#options.now();
    const at = await this.#read(namespaceKey(namespace), context);
    if (at === undefined) return;
    last.at = Math.max(last.at, at);
    last.readAt = askedAt;
  }

  #note(path: ImagePath, at: number): void {
    this.#images.set(path, Math.max(at, this.#images.get(path) ?? at));
    const last = this.#lastOf(partsOf(path).namespace);
    last.at = Math.max(last.at, at);
  }

  #lastOf(namespace: string): LastDeletion {
    const never = Number.NEGATIVE_INFINITY;
    const last = this.#namespaces.get(namespace) ?? {
      at: never,
      readAt: never,
      askedAt: never,
      writtenAt: never,
    };
    this.#namespaces.set(namespace, last);
    return last;
  }

  /** @returns the time under a key, before all times where there is none; undefined where KV does not answer */
  async #read(key: string, context: RequestContext): Promise<number | undefined> {
    const { kv } = this.#options;
    const options = { type: 'text', cacheTtl: KV_TTL_SECONDS } as const;
    const text = await this.#service.attempt('get', context, () => kv.get(key, options));
    if (text === undefined) return undefined;
    const at = Number(text ?? Number.NaN);
    return Number.isFinite(at) ? at : Number.NEGATIVE_INFINITY;
  }

  /**
   * KV refuses a second write within a second: somebody else's is as good where it is at most `slackMs` older.
   * @returns whether it is written
   */
  async #write(
    key: string,
    at: number,
    seconds: number,
    slackMs: number,
    context: RequestContext,
  ): Promise<boolean> {
    const { kv } = this.#options;
    const options = { expirationTtl: Math.max(seconds, MIN_TTL_SECONDS) };
    for (let attempt = 0; attempt < 2; attempt++) {
      if (attempt > 0) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      const isPut = await this.#service.attempt('put', context, async () => {
        await kv.put(key, String(at), options);
        return true;
      });
      if (isPut) return true;
      const others = await this.#read(key, context);
      if (others !== undefined && others >= at - slackMs) return true;
    }
    return false;
  }
}

const tombstoneKey = (path: ImagePath) => `deleted/${path}`;
const namespaceKey = (namespace: string) => `deletions/${namespace}`;
