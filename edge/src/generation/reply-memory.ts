/** Texts that were written a while ago, by the ids of their messages: some clients send the id in place of the text. */
import { LRUCache } from 'lru-cache';
import { logWarning } from '../log.ts';
import type { Platform } from '../platform.ts';
import type { RequestContext } from '../request-context.ts';

/** A conversation goes on within an hour, or sends its texts. */
const KEPT_S = 3600;
const MAX_CHARACTERS = 2 ** 20;
/** Longer than the cache of a location ever takes; then the text counts as forgotten. */
const LOOKUP_MS = 1000;

/**
 * In this isolate's memory and in the cache of this location, and nowhere else: an id that is not found is sent again as
 * its text. An id is random, and who has it has had the text.
 */
export class ReplyMemory {
  readonly #colo: Cache;
  readonly #recent: LRUCache<string, string>;

  constructor({ coloCache, now }: Pick<Platform, 'coloCache' | 'now'>) {
    this.#colo = coloCache;
    this.#recent = new LRUCache({
      maxSize: MAX_CHARACTERS,
      sizeCalculation: (text) => text.length + 1,
      ttl: KEPT_S * 1000,
      // The clock is asked each time: with a resolution, the library would need a timer, which no Worker has between requests.
      ttlResolution: 0,
      perf: { now },
    });
  }

  put(id: string, text: string, context: RequestContext): void {
    this.#recent.set(id, text);
    const headers = { 'cache-control': `public, max-age=${KEPT_S}` };
    const stored = this.#colo.put(urlOf(id), new Response(text, { headers }));
    context.waitUntil(stored.catch((error: unknown) => logFailure('put', error, context)));
  }

  /** Never rejects. @returns null where nobody remembers it here */
  async find(id: string, context: RequestContext): Promise<string | null> {
    const recent = this.#recent.get(id);
    if (recent !== undefined) return recent;
    const timeout = new Promise<undefined>((resolve) => setTimeout(resolve, LOOKUP_MS));
    try {
      const response = await Promise.race([this.#colo.match(urlOf(id)), timeout]);
      return response === undefined ? null : await response.text();
    } catch (error) {
      logFailure('match', error, context);
      return null;
    }
  }
}

function urlOf(id: string): string {
  return `https://replies.blip2.invalid/${encodeURIComponent(id)}`;
}

function logFailure(operation: string, error: unknown, { requestId }: RequestContext): void {
  const detail = { request_id: requestId, operation: `reply ${operation}`, error: String(error) };
  logWarning('cache-failure', detail);
}
