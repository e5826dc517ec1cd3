/** API keys: how they look, what is stored of them, and under which name. The key itself is stored nowhere. */
import * as z from 'zod/mini';

/** What a key may be good for: the families of routes, which are the tags of the API's description. */
export const SCOPES = [
  'text',
  'matching',
  'embeddings',
  'images',
  'jobs',
  'openai',
  'huggingface',
  'ollama',
  'moondream',
  'replicate',
] as const;
export type Scope = (typeof SCOPES)[number];

/** The largest limit that can be given: sums of it stay whole numbers. */
export const MAX_LIMIT = 1_000_000_000;

/** A key's own limit in place of the service's: a number, or null for none. */
const limit = z.optional(z.nullable(z.int().check(z.gte(1), z.lte(MAX_LIMIT))));

/** What one key may use; what is absent is as for all keys. */
export const KeyLimits = z.object({
  requests_per_minute: limit,
  tokens_per_minute: limit,
  images_per_day: limit,
  open_streams: limit,
});
export type KeyLimits = z.infer<typeof KeyLimits>;

/**
 * The name of a tenant: keys with the same one share a cache namespace. The empty text is none, so that no mistake makes a
 * tenant's key one of the shared namespace.
 */
export const TenantName = z.string().check(z.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/));

/** What is stored of a key, as JSON. Times are milliseconds since the epoch. */
export const KeyRecord = z.object({
  name: z.string().check(z.minLength(1), z.maxLength(64)),
  scopes: z.array(z.string()),
  created_at: z.int(),
  expires_at: z.optional(z.int()),
  limits: z.optional(KeyLimits),
  /** The cache namespace; without one, that of all keys without one. */
  namespace: z.optional(TenantName),
});
export type KeyRecord = z.infer<typeof KeyRecord>;

const RANDOM_BYTES = 32;
const FORM = /^sk-[A-Za-z0-9_-]{43}$/;

/** A new key: 256 random bits. @example createKey() // 'sk-4f…' of 46 characters */
export function createKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(RANDOM_BYTES));
  return `sk-${btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')}`;
}

/** Whether a text can be a key at all: what cannot is never looked up. */
export function isKey(text: string): boolean {
  return FORM.test(text);
}

/**
 * The name under which a key's record is stored. A key has 256 random bits: one unsalted round of SHA-256 cannot be
 * searched, and a look-up by hash tells nothing in its time, since nobody can choose the hash of a guess.
 * @example await keyName('sk-…') // 'key/<64 hexadecimal digits>'
 */
export async function keyName(key: string): Promise<string> {
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(key));
  const hex = Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, '0'));
  return `key/${hex.join('')}`;
}
