/**
 * What is stored beside cached embeddings: the image's properties, when it was sent, when they expire, and a seal over all of it and the
 * key. A value under a key that is not its own, or that somebody changed, has another seal.
 *
 * Without a secret the seal is SHA-256, which whoever can write into the cache can compute as well: it keeps mistakes
 * out. With one it is HMAC-SHA-256, and keeps forgeries out.
 */
import { ImageInfo } from '@blip2/shared/wire';
import * as z from 'zod/mini';

/** Half of a SHA-256, in hexadecimal digits. */
const SEAL_LENGTH = 32;

/** `expires_at`: seconds since the epoch. `sent_at`: when the image was sent, milliseconds since the epoch. */
export const SealedHead = z.object({
  image: ImageInfo,
  expires_at: z.int(),
  sent_at: z.int(),
  seal: z.string().check(z.length(SEAL_LENGTH)),
});
export type SealedHead = z.infer<typeof SealedHead>;

type Content = Omit<SealedHead, 'seal'>;

export class Sealer {
  readonly #secret: string | undefined;
  #key: CryptoKey | undefined;

  /** @param secret shared by all isolates that read and write the same caches */
  constructor(secret?: string) {
    this.#secret = secret;
  }

  /** @param key under which the embeddings are cached */
  async seal(key: string, embeddings: Uint8Array, content: Content): Promise<SealedHead> {
    return { ...content, seal: await this.#sealOf(key, embeddings, content) };
  }

  async isSealed(key: string, embeddings: Uint8Array, head: SealedHead): Promise<boolean> {
    return head.seal === (await this.#sealOf(key, embeddings, head));
  }

  async #sealOf(
    key: string,
    embeddings: Uint8Array,
    { image, expires_at, sent_at }: Content,
  ): Promise<string> {
    const { width, height, format, frames = 0 } = image;
    const content = [width, height, format, frames, expires_at, sent_at];
    return await this.sealOf(['embeddings', key, ...content], embeddings);
  }

  /** @param head what the value is, under which key, and all that is stored beside it */
  async sealOf(
    head: readonly [kind: string, key: string, ...content: (string | number)[]],
    value: Uint8Array,
  ): Promise<string> {
    const prefix = new TextEncoder().encode(JSON.stringify(head));
    // JSON ends where its last bracket closes: no other head and value make the same bytes.
    const message = new Uint8Array(prefix.length + value.length);
    message.set(prefix);
    message.set(value, prefix.length);
    const digest = await this.#digest(message);
    return new Uint8Array(digest).toHex().slice(0, SEAL_LENGTH);
  }

  async #digest(message: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer> {
    if (this.#secret === undefined) return await crypto.subtle.digest('SHA-256', message);
    this.#key ??= await crypto.subtle.importKey(
      'raw',
      new TextEncoder().encode(this.#secret),
      { name: 'HMAC', hash: 'SHA-256' },
      false,
      ['sign'],
    );
    return await crypto.subtle.sign('HMAC', this.#key, message);
  }
}
