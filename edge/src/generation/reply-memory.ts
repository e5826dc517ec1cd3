/** Texts that were written a while ago, by the ids of their messages: some clients send the id in place of the text. */
import { type ImagePath, imagePathOf } from '@blip2/shared/cache-key';
import type { ImageId } from '@blip2/shared/image-id';
import { LRUCache } from 'lru-cache';
import * as z from 'zod/mini';
import type { Deletions } from '../deletion/deletions.ts';
import { CacheService, type Patience } from '../embeddings/cache-service.ts';
import type { Platform } from '../platform.ts';
import type { RequestContext } from '../request-context.ts';

/** A conversation goes on within an hour, or sends its texts. Tombstones of deleted images last longer. */
const TTL_S = 3600;
const MAX_CHARACTERS = 2 ** 20;

/** A text, the image it is about, and when that was sent at the latest: milliseconds since the epoch. */
const Written = z.object({ text: z.string(), imageId: z.string(), sentAt: z.number() });
type Written = z.infer<typeof Written>;

/**
 * In this isolate's memory and in the cache of this location, and nowhere else: an id that is not found is sent again as
 * its text. An id is random, and found in the namespace alone in which the text was written.
 */
export class ReplyMemory {
  readonly #colo: Cache;
  readonly #deletions: Deletions;
  readonly #service: CacheService;
  readonly #recent: LRUCache<string, Written>;

  constructor({
    coloCache,
    now,
    timeoutMs,
    deletions,
  }: Pick<Platform, 'coloCache'> & Patience & { deletions: Deletions }) {
    this.#colo = coloCache;
    this.#deletions = deletions;
    this.#service = new CacheService('colo', { now, timeoutMs });
    this.#recent = new LRUCache({
      maxSize: MAX_CHARACTERS,
      sizeCalculation: ({ text }) => text.length + 1,
      ttl: TTL_S * 1000,
      // The clock is asked each time: with a resolution, the library would need a timer, which no Worker has between requests.
      ttlResolution: 0,
      perf: { now },
    });
  }

  put(
    id: string,
    text: string,
    about: { imageId: ImageId; sentAt: number },
    context: RequestContext,
  ): void {
    const url = urlOf(id, context);
    const written: Written = { text, ...about };
    this.#recent.set(url, written);
    const headers = { 'cache-control': `public, max-age=${TTL_S}` };
    const reply = new Response(JSON.stringify(written), { headers });
    context.waitUntil(this.#service.attempt('put', context, () => this.#colo.put(url, reply)));
  }

  /** Never rejects. @returns null where nobody remembers it here, or its image was deleted */
  async find(id: string, context: RequestContext): Promise<string | null> {
    const url = urlOf(id, context);
    const written = this.#recent.get(url) ?? (await this.#fromColo(url, context));
    if (written === null) return null;
    const { text, imageId, sentAt } = written;
    const path: ImagePath = imagePathOf(context.namespace, imageId);
    if (await this.#deletions.hidesAnywhere(path, sentAt, context)) return null;
    context.onImage?.(path, sentAt);
    return text;
  }

  async #fromColo(url: string, context: RequestContext): Promise<Written | null> {
    const value = await this.#service.attempt('get', context, async () => {
      const response = await this.#colo.match(url);
      return response?.json();
    });
    return Written.safeParse(value).data ?? null;
  }
}

function urlOf(id: string, { namespace }: RequestContext): string {
  return `https://replies.blip2.invalid/${namespace}/${encodeURIComponent(id)}`;
}
