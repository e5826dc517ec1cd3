/** A text that is the same for all who ask: encoded once, and compressed once, as its replies share the bytes. */
import zlib from 'node:zlib';
import { matchesTag, negotiate } from './content-negotiation.ts';

/** The body of one reply from bytes of many. */
export type SharedBody = (
  bytes: Uint8Array<ArrayBuffer>,
) => Promise<Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>>;

export class StaticText {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #tag: string;
  #gzip: Uint8Array<ArrayBuffer> | undefined;

  /** @param tag names the text: no quotes, no other text's */
  constructor(text: string, tag: string) {
    this.#bytes = new Uint8Array(new TextEncoder().encode(text));
    this.#tag = tag;
  }

  /**
   * @param headers of the request
   * @param others headers of the reply
   * @param bodyOf the body that sends bytes which other replies send as well
   */
  async reply(
    headers: Headers,
    others: Record<string, string>,
    bodyOf: SharedBody,
  ): Promise<Response> {
    const isPacked = takesGzip(headers.get('accept-encoding'));
    // Strong tags name bytes: those of each coding have their own.
    const etag = isPacked ? `"${this.#tag}-gzip"` : `"${this.#tag}"`;
    const same = cacheable(etag);
    if (matchesTag(headers.get('if-none-match'), etag)) {
      return new Response(null, { status: 304, headers: same });
    }
    if (!isPacked) {
      return new Response(await bodyOf(this.#bytes), { headers: { ...same, ...others } });
    }
    return new Response(await bodyOf(this.#packed()), {
      headers: { ...same, ...others, 'content-encoding': 'gzip' },
      // They are compressed already.
      encodeBody: 'manual',
    });
  }

  /** In one piece: another request may not wait for what one that is stopped has begun. */
  #packed(): Uint8Array<ArrayBuffer> {
    this.#gzip ??= new Uint8Array(zlib.gzipSync(this.#bytes));
    return this.#gzip;
  }
}

/** Headers of a text that may be cached. */
export function cacheable(etag: string): Record<string, string> {
  return { etag, 'cache-control': 'public, max-age=300', vary: 'accept-encoding' };
}

/** Whether gzip is named, or anything is taken. */
function takesGzip(accepted: string | null): boolean {
  // Codings are ranges without a slash; whoever names none takes what is not compressed.
  if (accepted === null || accepted.trim() === '') return false;
  return negotiate(accepted, ['gzip', 'identity']) === 'gzip';
}
