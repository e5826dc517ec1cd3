/** Opaque names of cache namespaces, of the names of tenants. */
import { Buffer } from 'node:buffer';
import { LRUCache } from 'lru-cache';

const MAX_ENTRIES = 1024;
const BYTES = 16;
/** Keys an HMAC where a deployment has no secret: it then hides no name from those who can guess it. */
const NO_SALT = 'blip2';

export class Namespaces {
  readonly #salt: string;
  readonly #known = new LRUCache<string, string>({ max: MAX_ENTRIES });
  #key: CryptoKey | undefined;

  /** @param secret shared by all isolates that read and write the same caches */
  constructor(secret = NO_SALT) {
    this.#salt = secret;
  }

  /**
   * 32 hexadecimal digits for a tenant, '' for the namespace that callers without one share.
   * @example await namespaces.of('acme') // '7c1f…'
   */
  async of(tenant: string | undefined): Promise<string> {
    if (tenant === undefined) return '';
    const known = this.#known.get(tenant);
    if (known !== undefined) return known;
    const encoder = new TextEncoder();
    this.#key ??= await crypto.subtle.importKey(
      'raw',
      encoder.encode(this.#salt),
      { name: 'HMAC', hash: 'SHA-256' },
      false,
      ['sign'],
    );
    const digest = await crypto.subtle.sign('HMAC', this.#key, encoder.encode(`tenant ${tenant}`));
    const name = Buffer.from(digest).subarray(0, BYTES).toString('hex');
    this.#known.set(tenant, name);
    return name;
  }
}
