/** Signs requests between edge and GPU worker that come from neither's client: HMAC-SHA256 over time, method, path and body. */

/** Header: `t=<milliseconds since the epoch>,v1=<64 hexadecimal digits>`. */
export const SIGNATURE_HEADER = 'x-blip2-signature';

/** How far the clocks of both sides may differ, and how long a request may be under way, milliseconds. */
export const SIGNATURE_AGE_MS = 300_000;

export type Signed = { method: string; path: string; body: Uint8Array<ArrayBuffer> };

/**
 * Value of the header.
 * @param secret of at least 32 characters
 * @example await sign('…', { method: 'POST', path: commitPath(job, 0), body }, Date.now())
 */
export async function sign(secret: string, request: Signed, at: number): Promise<string> {
  return `t=${at},v1=${await digest(secret, request, at)}`;
}

/**
 * Whether a header is the signature of a request by one of the secrets, made not long ago.
 * @param secrets those that are live: two while one takes the place of the other
 * @param now milliseconds since the epoch
 */
export async function isSigned(
  secrets: readonly string[],
  request: Signed,
  header: string | null,
  now: number,
): Promise<boolean> {
  const [, time, given] = /^t=(\d{1,16}),v1=([0-9a-f]{64})$/.exec(header ?? '') ?? [];
  if (time === undefined || given === undefined) return false;
  const at = Number(time);
  if (Math.abs(now - at) > SIGNATURE_AGE_MS) return false;
  const expected = await Promise.all(secrets.map((secret) => digest(secret, request, at)));
  return expected.some((text) => isEqual(text, given));
}

async function digest(secret: string, { method, path, body }: Signed, at: number): Promise<string> {
  const text = new TextEncoder();
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const key = await crypto.subtle.importKey('raw', text.encode(secret), algorithm, false, ['sign']);
  const hash = hex(await crypto.subtle.digest('SHA-256', body));
  const signed = text.encode([at, method, path, hash].join('\n'));
  return hex(await crypto.subtle.sign('HMAC', key, signed));
}

function hex(buffer: ArrayBuffer): string {
  return Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** In time that tells nothing of where they differ. Both have 64 characters. */
function isEqual(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return difference === 0;
}
