/** Embeddings in the cache of this location: each a response, with what is stored beside it in its headers. */
import type { RequestContext } from '../request-context.ts';
import { CacheService, type Patience } from './cache-service.ts';
import type { SealedHead } from './sealed-entry.ts';

const HEAD_HEADER = 'x-embeddings';
/** When KV was last known to have the entry, milliseconds since the epoch. */
const VERIFIED_HEADER = 'x-verified-at';

/** What is there under a key, unchecked; `value` is undefined where it cannot be read, `head` is JSON. */
type ColoEntry = { value: ArrayBuffer | undefined; head: string | null; verifiedAt: number };

/** None of its methods rejects: a cache that fails or is silent has nothing. */
export class ColoTier {
  readonly #cache: Cache;
  readonly #service: CacheService;

  constructor({ coloCache, ...patience }: { coloCache: Cache } & Patience) {
    this.#cache = coloCache;
    this.#service = new CacheService('colo', patience);
  }

  /** @returns null where nothing is there, `failed` where that cannot be known */
  async read(key: string, context: RequestContext): Promise<ColoEntry | null | 'failed'> {
    const url = urlOf(key);
    const found = await this.#service.attempt('get', context, async () => {
      return (await this.#cache.match(url)) ?? null;
    });
    if (found === undefined) return 'failed';
    if (found === null) return null;
    const { headers } = found;
    return {
      head: headers.get(HEAD_HEADER),
      verifiedAt: Number(headers.get(VERIFIED_HEADER) ?? Number.NaN),
      value: await this.#service.attempt('read', context, () => found.arrayBuffer()),
    };
  }

  /** @param seconds for which the location may keep it */
  async put(
    key: string,
    embeddings: Uint8Array<ArrayBuffer>,
    { head, verifiedAt, seconds }: { head: SealedHead; verifiedAt: number; seconds: number },
    context: RequestContext,
  ): Promise<void> {
    const response = new Response(embeddings, {
      headers: {
        'cache-control': `public, max-age=${Math.max(1, Math.floor(seconds))}, immutable`,
        [HEAD_HEADER]: JSON.stringify(head),
        [VERIFIED_HEADER]: String(verifiedAt),
      },
    });
    await this.#service.attempt('put', context, () => this.#cache.put(urlOf(key), response));
  }

  async delete(key: string, context: RequestContext): Promise<void> {
    await this.#service.attempt('delete', context, () => this.#cache.delete(urlOf(key)));
  }
}

/** The Cache API knows entries by URL; this host is never asked. */
function urlOf(key: string): string {
  return `https://embeddings.blip2.invalid/${key}`;
}
