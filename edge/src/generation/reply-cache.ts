/**
 * Finished replies by what decides them, in three tiers: this isolate's memory, this location's cache and, where that is
 * configured, Workers KV. What is read from outside the isolate must be whole and sealed for its key, and no reply is used
 * that another GPU worker wrote than the one that is there now.
 *
 * A location has one entry for all replies about an image, so that they are deleted with it; KV one for each.
 */
import type { ImagePath } from '@blip2/shared/cache-key';
import { LRUCache } from 'lru-cache';
import { KNOWN_LATE_MS } from '../deletion/deletions.ts';
import { CacheService } from '../embeddings/cache-service.ts';
import type { Caches } from '../embeddings/embedding-cache.ts';
import { Sealer } from '../embeddings/sealed-entry.ts';
import { logWarning } from '../log.ts';
import type { RequestContext } from '../request-context.ts';
import { mergeEntries, type ReplyEntry, readEntries } from './reply-entry.ts';
import type { ReplyKey } from './reply-key.ts';
import { decodeRecord, encodeRecord, type ReplyRecord } from './reply-record.ts';

/** `ttlSeconds`: 0 caches nothing. */
export type ReplyCacheOptions = Caches & {
  usesKv: boolean;
  /** What it may have in memory. */
  maxRecentBytes?: number;
};

/** Who may be answered with a cached reply. */
export type Wanted = {
  /** Seconds that it may be old. */
  maxAge: number;
  /** Fingerprint of the GPU worker that is there now; asked for only where a reply was found. */
  worker: () => Promise<string | undefined>;
};

/** A reply that is complete. */
export type WrittenReply = {
  record: ReplyRecord;
  /** Fingerprint of the GPU worker that wrote it. */
  worker: string;
  /** When it was asked for, milliseconds since the epoch. */
  askedAt: number;
  /** When the image that it was made of was sent, milliseconds since the epoch. */
  sentAt: number;
};

/** `sentAt`: when the image that it was made of was sent, milliseconds since the epoch. */
export type CachedReply = { record: ReplyRecord; sentAt: number };

/** An entry; its record where it was decoded, and so was found to be whole and sealed. */
type Recent = { entry: ReplyEntry; record?: ReplyRecord };
type RecentReplies = ReadonlyMap<string, Recent>;

type Tier = 'colo' | 'kv';

/** Of what an isolate may have for everything, 128 MB. */
const MAX_RECENT_BYTES = 8 * 2 ** 20;
/** As long as a deletion in KV may take to reach every location: this tier delays none any further. */
const MAX_RECENT_MS = 60_000;
/** A decoded record takes so many times the characters of its entry. */
const DECODED_FACTOR = 8;
const RECENT_OVERHEAD = 500;

/** Longer base64 is not cached: thousands of tokens, or hundreds with the likeliest others beside them. */
const MAX_FRAMES_LENGTH = 2 ** 16;
/** Clocks of two machines differ by less. */
const CLOCK_SKEW_S = 60;
/** KV keeps nothing for less. */
const MIN_TTL_SECONDS = 60;

export class ReplyCache {
  readonly #options: ReplyCacheOptions;
  readonly #colo: CacheService;
  readonly #kv: CacheService;
  readonly #sealer: Sealer;
  readonly #recent: LRUCache<ImagePath, RecentReplies>;
  #damagedEntries = 0;

  constructor(options: ReplyCacheOptions) {
    this.#options = options;
    this.#colo = new CacheService('colo', options);
    this.#kv = new CacheService('kv', options);
    this.#sealer = new Sealer(options.secret);
    // The clock is asked each time: with a resolution, the library would need a timer, which no Worker has between requests.
    const clock = { ttlResolution: 0, perf: { now: options.now } };
    this.#recent = new LRUCache({
      maxSize: options.maxRecentBytes ?? MAX_RECENT_BYTES,
      sizeCalculation: sizeOf,
      ttl: MAX_RECENT_MS,
      // What other isolates delete must not stay because something is added.
      noUpdateTTL: true,
      ...clock,
    });
  }

  get isOn(): boolean {
    return this.#options.ttlSeconds > 0;
  }

  /** A reply that this isolate has in memory. Never rejects. */
  async findRecent(
    key: ReplyKey,
    wanted: Wanted,
    context: RequestContext,
  ): Promise<CachedReply | null> {
    const recent = this.#recent.get(key.image)?.get(key.digest);
    if (recent === undefined) return null;
    const { verified_at: verifiedAt } = recent.entry;
    return await this.#use(key, recent, { ...wanted, verifiedAt, tier: 'colo' }, context);
  }

  /** A reply that this location or KV has. Never rejects: a tier that fails or is silent has none. */
  async findStored(
    key: ReplyKey,
    wanted: Wanted,
    context: RequestContext,
  ): Promise<CachedReply | null> {
    const entries = await this.#readColo(key.image, context);
    this.#remember(key.image, entries.map(recentOf));
    const here = entries.find(({ digest }) => digest === key.digest);
    if (here !== undefined) {
      const use = { ...wanted, verifiedAt: here.verified_at, tier: 'colo' } as const;
      const reply = await this.#use(key, { entry: here }, use, context);
      if (reply !== null) return reply;
    }
    if (!this.#options.usesKv) return null;
    // What KV has was not deleted, unless KV is late.
    const use = { ...wanted, verifiedAt: this.#options.now(), tier: 'kv' } as const;
    const [entry] = await this.#readKv(key, context);
    return entry === undefined ? null : await this.#use(key, { entry }, use, context);
  }

  /** Never rejects: what cannot be cached is generated again. */
  async put(
    { image, digest }: ReplyKey,
    { record, worker, askedAt, sentAt }: WrittenReply,
    context: RequestContext,
  ): Promise<void> {
    if (!this.isOn) return;
    const bytes = await encodeRecord(record);
    const frames = bytes.toBase64();
    if (frames.length > MAX_FRAMES_LENGTH) return;
    const content = { digest, worker, asked_at: askedAt, sent_at: sentAt };
    const seal = await this.#sealOf(image, content, bytes);
    const entry = { ...content, verified_at: askedAt - KNOWN_LATE_MS, seal, frames };
    if (this.#isHidden(image, entry)) return;
    this.#remember(image, [{ entry, record }]);
    const { kv, ttlSeconds, usesKv } = this.#options;
    const options = { expirationTtl: Math.max(ttlSeconds, MIN_TTL_SECONDS) };
    await Promise.all([
      this.#putInColo(image, entry, context),
      usesKv &&
        this.#kv.attempt('put', context, () =>
          kv.put(kvKey(image, digest), JSON.stringify([entry]), options),
        ),
    ]);
    // A deletion that another isolate served meanwhile takes it along.
    const { deletions } = this.#options;
    if (await deletions.hidesAnywhere(image, sentAt, context)) {
      await this.deleteImage(image, context);
    }
  }

  /**
   * Deletes all replies about an image: from this isolate, this location and KV. What others have is not used once they
   * know of the deletion.
   * @returns whether all could be deleted: false where a cache failed, so that it has to be tried again
   */
  async deleteImage(image: ImagePath, context: RequestContext): Promise<boolean> {
    this.#recent.delete(image);
    const { coloCache } = this.#options;
    const [here, everywhere] = await Promise.all([
      this.#colo.attempt('delete', context, () => coloCache.delete(coloUrl(image))),
      // Also where replies are no longer put there: those of before may be left.
      this.#deleteFromKv(kvKey(image, ''), context),
    ]);
    return here !== undefined && everywhere;
  }

  async #deleteFromKv(prefix: string, context: RequestContext): Promise<boolean> {
    const { kv } = this.#options;
    let cursor: string | null = null;
    do {
      const from: { cursor: string | null } = { cursor };
      const page: KVNamespaceListResult<unknown> | undefined = await this.#kv.attempt(
        'list',
        context,
        () => kv.list({ prefix, ...from }),
      );
      if (page === undefined) return false;
      for (const { name } of page.keys) {
        const done = await this.#kv.attempt('delete', context, async () => {
          await kv.delete(name);
          return true;
        });
        if (done === undefined) return false;
      }
      cursor = page.list_complete ? null : page.cursor;
    } while (cursor !== null);
    return true;
  }

  /** The record of an entry that may be used; null where it is too old, of another worker, or damaged. */
  async #use(
    { image }: ReplyKey,
    { entry, record }: Recent,
    { maxAge, worker, verifiedAt, tier }: Wanted & { verifiedAt: number; tier: Tier },
    context: RequestContext,
  ): Promise<CachedReply | null> {
    const age = (this.#options.now() - entry.asked_at) / 1000;
    if (age < -CLOCK_SKEW_S || age >= this.#options.ttlSeconds || age > maxAge) return null;
    if (this.#isHidden(image, entry)) return null;
    if (entry.worker !== (await worker())) return null;
    const { sent_at: sentAt } = entry;
    if (record !== undefined) return { record, sentAt };
    const times = { sentAt, verifiedAt };
    const verified_at = await this.#options.deletions.verify(image, times, context);
    if (verified_at === null) return null;
    const opened = await this.#open(image, entry).catch((error: unknown) => String(error));
    if (typeof opened === 'string') {
      this.#reportDamage(tier, opened, context);
      return null;
    }
    // Again, since a deletion may have run meanwhile.
    if (this.#isHidden(image, entry)) return null;
    const verified = { ...entry, verified_at };
    this.#remember(image, [{ entry: verified, record: opened }]);
    if (tier === 'kv' || verified_at > entry.verified_at) {
      context.waitUntil(this.#putInColo(image, verified, context));
    }
    return { record: opened, sentAt };
  }

  /** @throws Error where it is not whole, or not sealed for its key */
  async #open(image: ImagePath, entry: ReplyEntry): Promise<ReplyRecord> {
    const bytes = Uint8Array.fromBase64(entry.frames);
    if (entry.seal !== (await this.#sealOf(image, entry, bytes))) {
      throw new Error('the seal is that of another key, value or secret');
    }
    return decodeRecord(bytes);
  }

  async #readColo(image: ImagePath, context: RequestContext): Promise<ReplyEntry[]> {
    const { coloCache } = this.#options;
    const url = coloUrl(image);
    const text = await this.#colo.attempt('get', context, async () => {
      const response = await coloCache.match(url);
      return await response?.text();
    });
    return this.#readText(text, 'colo', context);
  }

  async #readKv({ image, digest }: ReplyKey, context: RequestContext): Promise<ReplyEntry[]> {
    const { kv } = this.#options;
    const text = await this.#kv.attempt('get', context, () => kv.get(kvKey(image, digest)));
    return this.#readText(text, 'kv', context).filter((entry) => entry.digest === digest);
  }

  #readText(text: string | null | undefined, tier: Tier, context: RequestContext): ReplyEntry[] {
    if (text === undefined || text === null) return [];
    const entries = readEntries(text);
    if (entries === null) this.#reportDamage(tier, 'it holds no entries', context);
    return entries ?? [];
  }

  /** Adds a reply to the location's entry, and what this isolate has of the image: others may be adding theirs. */
  async #putInColo(image: ImagePath, added: ReplyEntry, context: RequestContext): Promise<void> {
    const stored = await this.#readColo(image, context);
    if (this.#isHidden(image, added)) return;
    const own = [...(this.#recent.get(image)?.values() ?? [])].map(({ entry }) => entry);
    const now = this.#options.now();
    const isAlive = (entry: ReplyEntry) =>
      entry.asked_at > now - this.#options.ttlSeconds * 1000 &&
      entry.asked_at <= now + CLOCK_SKEW_S * 1000 &&
      !this.#isHidden(image, entry);
    const entries = mergeEntries([...own, ...stored].filter(isAlive), added);
    const response = new Response(JSON.stringify(entries), {
      headers: {
        'content-type': 'application/json',
        'cache-control': `public, max-age=${this.#options.ttlSeconds}`,
      },
    });
    const { coloCache } = this.#options;
    await this.#colo.attempt('put', context, () => coloCache.put(coloUrl(image), response));
  }

  #remember(image: ImagePath, replies: readonly Recent[]): void {
    const shown = replies.filter(({ entry }) => !this.#isHidden(image, entry));
    if (shown.length === 0) return;
    const all = new Map(this.#recent.get(image));
    for (const reply of shown) {
      const { digest } = reply.entry;
      // What was only read may be damaged: it replaces nothing that is known to be good.
      if (reply.record !== undefined || all.get(digest)?.record === undefined) {
        all.set(digest, reply);
      }
    }
    const remaining = new Set(mergeEntries([...all.values()].map(({ entry }) => entry)));
    this.#recent.set(image, new Map([...all].filter(([, { entry }]) => remaining.has(entry))));
  }

  /** Whether the image was deleted after it was sent, as far as this isolate knows. */
  #isHidden(image: ImagePath, { sent_at }: ReplyEntry): boolean {
    return this.#options.deletions.hides(image, sent_at);
  }

  async #sealOf(
    image: ImagePath,
    {
      digest,
      worker,
      asked_at,
      sent_at,
    }: Pick<ReplyEntry, 'digest' | 'worker' | 'asked_at' | 'sent_at'>,
    bytes: Uint8Array,
  ): Promise<string> {
    const sealed = ['reply', `${image}/${digest}`, worker, asked_at, sent_at] as const;
    return await this.#sealer.sealOf(sealed, bytes);
  }

  #reportDamage(tier: Tier, reason: string, { requestId: request_id }: RequestContext): void {
    const count = ++this.#damagedEntries;
    logWarning('damaged-reply', { request_id, tier, reason, count });
  }
}

const recentOf = (entry: ReplyEntry): Recent => ({ entry });

function sizeOf(replies: RecentReplies): number {
  let size = 1;
  for (const { entry } of replies.values()) {
    size += RECENT_OVERHEAD + DECODED_FACTOR * entry.frames.length;
  }
  return size;
}

const kvKey = (image: ImagePath, digest: string) => `replies/${image}/${digest}`;

/** The Cache API knows entries by URL; this host is never asked. */
function coloUrl(image: ImagePath): string {
  return `https://reply-cache.blip2.invalid/${image}`;
}
