/** Texts that were written a while ago, by the ids of their messages: some clients send the id in place of the text. */
import { LRUCache } from 'lru-cache';
import { CacheService, type Patience } from '../embeddings/cache-service.ts';
import type { Platform } from '../platform.ts';
import type { RequestContext } from '../request-context.ts';

/** A conversation goes on within an hour, or sends its texts. */
const TTL_S = 3600;
const MAX_CHARACTERS = 2 ** 20;

/**
 * In this isolate's memory and in the cache of this location, and nowhere else: an id that is not found is sent again as
 * its text. An id is random, and who has it has had the text.
 */
export class ReplyMemory {
  readonly #colo: Cache;
  readonly #service: CacheService;
  readonly #recent: LRUCache<string, string>;

  constructor({ coloCache, now, timeoutMs }: Pick<Platform, 'coloCache'> & Patience) {
    this.#colo = coloCache;
    this.#service = new CacheService('colo', { now, timeoutMs });
    this.#recent = new LRUCache({
      maxSize: MAX_CHARACTERS,
      sizeCalculation: (text) => text.length + 1,
      ttl: TTL_S * 1000,
      // The clock is asked each time: with a resolution, the library would need a timer, which no Worker has between requests.
      ttlResolution: 0,
      perf: { now },
    });
  }

  put(id: string, text: string, context: RequestContext): void {
    this.#recent.set(id, text);
    const headers = { 'cache-control': `public, max-age=${TTL_S}` };
    const reply = new Response(text, { headers });
    context.waitUntil(
      this.#service.attempt('put', context, () => this.#colo.put(urlOf(id), reply)),
    );
  }

  /** Never rejects. @returns null where nobody remembers it here */
  async find(id: string, context: RequestContext): Promise<string | null> {
    const recent = this.#recent.get(id);
    if (recent !== undefined) return recent;
    const text = await this.#service.attempt('get', context, async () => {
      const response = await this.#colo.match(urlOf(id));
      return response?.text();
    });
    return text ?? null;
  }
}

function urlOf(id: string): string {
  return `https://replies.blip2.invalid/${encodeURIComponent(id)}`;
}
