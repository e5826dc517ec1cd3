/**
 * Query embeddings by picture: this isolate's memory, then this location's cache, then Workers KV. Entries are
 * write-once: the key names all that decides the value, so that no tier can hold an old one.
 */
import { type EmbeddingSpace, embeddingKey } from '@blip2/shared/cache-key';
import {
  EmbeddingCodecError,
  type EmbeddingShape,
  embeddingPayload,
} from '@blip2/shared/embedding-codec';
import { ImageInfo } from '@blip2/shared/wire';
import { RecentEmbeddings } from './recent-embeddings.ts';

/** What is kept of a picture: its encoded query embeddings, and what the replies say of it. */
export type KnownImage = { embeddings: Uint8Array<ArrayBuffer>; image: ImageInfo };

export type Lookup =
  /** `colo`: they were at this location, in its cache or in the isolate. */
  | { kind: 'hit'; tier: 'colo' | 'kv'; known: KnownImage }
  /** `damaged`: KV holds an entry that cannot be read; it must be overwritten or dropped. */
  | { kind: 'miss'; damaged: boolean };

export type WaitUntil = (work: Promise<unknown>) => void;

const IMAGE_HEADER = 'x-image';

export class EmbeddingCache {
  readonly #kv: KVNamespace;
  readonly #space: EmbeddingSpace;
  readonly #shape: EmbeddingShape;
  readonly #recent = new RecentEmbeddings<KnownImage>();
  /** Entries of this isolate's time that could not be read. */
  damagedEntries = 0;

  constructor(kv: KVNamespace, space: EmbeddingSpace, shape: EmbeddingShape) {
    this.#kv = kv;
    this.#space = space;
    this.#shape = shape;
  }

  /** A tier that fails is a miss: the picture can be computed anew. */
  async lookup(sha256: string, waitUntil: WaitUntil): Promise<Lookup> {
    const key = embeddingKey(this.#space, sha256);
    const recent = this.#recent.get(key);
    if (recent !== undefined) return { kind: 'hit', tier: 'colo', known: recent };
    const colo = await caches.default.match(coloUrl(key)).catch(() => undefined);
    if (colo !== undefined) {
      const known = this.#check('colo', await colo.arrayBuffer(), colo.headers.get(IMAGE_HEADER));
      if (known) {
        this.#recent.put(key, known);
        return { kind: 'hit', tier: 'colo', known };
      }
      waitUntil(caches.default.delete(coloUrl(key)));
    }
    const { value, metadata } = await this.#kv
      .getWithMetadata(key, 'arrayBuffer')
      .catch(logged('kv get', { value: null, metadata: null }));
    if (value === null) return { kind: 'miss', damaged: false };
    const known = this.#check('kv', value, metadata);
    if (known === null) return { kind: 'miss', damaged: true };
    this.#recent.put(key, known);
    waitUntil(this.#keepInColo(key, known));
    return { kind: 'hit', tier: 'kv', known };
  }

  /** Never rejects: what cannot be kept is computed again. */
  async keep(sha256: string, known: KnownImage): Promise<void> {
    const key = embeddingKey(this.#space, sha256);
    this.#recent.put(key, known);
    await Promise.all([
      this.#keepInColo(key, known),
      this.#kv
        .put(key, known.embeddings, { metadata: known.image })
        .catch(logged('kv put', undefined)),
    ]);
  }

  async drop(sha256: string): Promise<void> {
    await this.#kv.delete(embeddingKey(this.#space, sha256)).catch(logged('kv delete', undefined));
  }

  /** @throws EmbeddingCodecError when the GPU worker sent a value of another shape, or a damaged one */
  checkValue(embeddings: Uint8Array): void {
    embeddingPayload(embeddings, this.#shape);
  }

  async #keepInColo(key: string, { embeddings, image }: KnownImage): Promise<void> {
    const response = new Response(embeddings, {
      headers: {
        'cache-control': 'public, max-age=31536000, immutable',
        [IMAGE_HEADER]: JSON.stringify(image),
      },
    });
    await caches.default.put(coloUrl(key), response).catch(logged('colo put', undefined));
  }

  #check(tier: 'colo' | 'kv', value: ArrayBuffer, image: unknown): KnownImage | null {
    const embeddings = new Uint8Array(value);
    try {
      this.checkValue(embeddings);
      const info: unknown = typeof image === 'string' ? JSON.parse(image) : image;
      return { embeddings, image: ImageInfo.parse(info) };
    } catch (error) {
      this.damagedEntries++;
      const reason = error instanceof EmbeddingCodecError ? error.message : 'no image info';
      console.warn(
        JSON.stringify({ event: 'damaged-embeddings', tier, reason, count: this.damagedEntries }),
      );
      return null;
    }
  }
}

/** The Cache API knows entries by URL; this host is never asked. */
function coloUrl(key: string): string {
  return `https://embeddings.blip2.invalid/${key}`;
}

function logged<T>(what: string, instead: T): (error: unknown) => T {
  return (error) => {
    console.warn(JSON.stringify({ event: 'cache-failure', what, error: String(error) }));
    return instead;
  };
}
