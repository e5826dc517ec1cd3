/**
 * Signs what the edge asks of a GPU worker: HMAC-SHA256 over method, path, the names of request and image, the length of the
 * body, a time and a number that is used once. The body itself is not read for it: it comes over TLS, and the worker hashes
 * an image itself before it calls anything by its hash.
 */

/** Header: `t=<milliseconds since the epoch>,n=<32 hexadecimal digits>,v1=<64 hexadecimal digits>`. */
export const REQUEST_SIGNATURE_HEADER = 'x-blip2-request-signature';
/** Which image a request is about: for balancers, which send the same image to the same worker. */
export const IMAGE_HEADER = 'x-image';

/** How far the clocks of both sides may differ, and how long a request may be under way, milliseconds. */
const MAX_SKEW_MS = 30_000;

/** @property headers those that are signed are read from it: `x-request-id`, `x-image`, `content-length` */
export type SignedRequest = { method: string; path: string; headers: Headers; length: number };

export type Rejection = 'unsigned' | 'wrong' | 'outside-time' | 'repeated';

/**
 * The header of a request.
 * @param secret of at least 32 characters
 * @param at milliseconds since the epoch
 */
export async function signRequest(
  secret: string,
  request: SignedRequest,
  at: number,
): Promise<string> {
  const nonce = hex(crypto.getRandomValues(new Uint8Array(16)));
  return `t=${at},n=${nonce},v1=${hex(await hmac(secret, messageOf(request, at, nonce)))}`;
}

/** Checks signatures, and that each is used once. */
export class SignatureCheck {
  readonly #secrets: readonly string[];
  readonly #now: () => number;
  /** Numbers that were used, and until when they could be used again, the oldest first. */
  readonly #used = new Map<string, number>();

  /** @param secrets those that are live: two while one takes the place of the other */
  constructor(secrets: readonly string[], now: () => number) {
    this.#secrets = secrets;
    this.#now = now;
  }

  /** @returns why a request is rejected; null where it is signed by one of the secrets, now and for the first time */
  async rejection(request: SignedRequest): Promise<Rejection | null> {
    const header = request.headers.get(REQUEST_SIGNATURE_HEADER) ?? '';
    const [, time, nonce, given] =
      /^t=(\d{1,16}),n=([0-9a-f]{32}),v1=([0-9a-f]{64})$/.exec(header) ?? [];
    if (time === undefined || nonce === undefined || given === undefined) return 'unsigned';
    const message = messageOf(request, Number(time), nonce);
    const signature = new Uint8Array(
      Array.from(given.match(/../g) ?? [], (digits) => Number(`0x${digits}`)),
    );
    const matches = await Promise.all(
      this.#secrets.map((secret) => isHmac(secret, message, signature)),
    );
    if (!matches.includes(true)) return 'wrong';
    const now = this.#now();
    if (Math.abs(now - Number(time)) > MAX_SKEW_MS) return 'outside-time';
    return this.#isFirst(nonce, now) ? null : 'repeated';
  }

  #isFirst(nonce: string, now: number): boolean {
    for (const [used, until] of this.#used) {
      if (until >= now) break;
      this.#used.delete(used);
    }
    if (this.#used.has(nonce)) return false;
    // The latest time at which its signature is not outside of the time.
    this.#used.set(nonce, now + 2 * MAX_SKEW_MS);
    return true;
  }
}

function messageOf(
  { method, path, headers, length }: SignedRequest,
  at: number,
  nonce: string,
): string {
  const names = ['x-request-id', IMAGE_HEADER].map((name) => headers.get(name) ?? '');
  return [at, nonce, method, path, ...names, length].join('\n');
}

async function hmac(secret: string, message: string): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.sign('HMAC', await keyOf(secret), encoded(message)));
}

async function isHmac(
  secret: string,
  message: string,
  signature: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  return await crypto.subtle.verify('HMAC', await keyOf(secret), signature, encoded(message));
}

const encoded = (text: string) => new TextEncoder().encode(text);

const keys = new Map<string, ReturnType<typeof importKey>>();

/** Of secrets there are two at most. */
function keyOf(secret: string): ReturnType<typeof importKey> {
  const key = keys.get(secret) ?? importKey(secret);
  keys.set(secret, key);
  return key;
}

function importKey(secret: string) {
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const bytes = new TextEncoder().encode(secret);
  return crypto.subtle.importKey('raw', bytes, algorithm, false, ['sign', 'verify']);
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
