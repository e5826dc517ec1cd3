/** Reads the header `Idempotency-Key`: a string of structured fields (RFC 9651) as the IETF's draft has it, or bare as most clients send it. */
import { ApiError } from '@blip2/shared/errors';
import { IDEMPOTENCY_KEY, MAX_IDEMPOTENCY_KEY } from '@blip2/shared/schemas/headers';

const QUOTED = /^"((?:[ !#-[\]-~]|\\["\\])*)"$/;
/** Visible characters; a comma would be two headers that a proxy made one. */
const BARE = /^[!#-+\--~]+$/;

/**
 * @returns the key, without quotes; null where the header is absent
 * @throws ApiError `invalid-request`
 * @example idempotencyKeyOf(new Headers({ 'idempotency-key': '"8e03978e"' })) // '8e03978e', as of 8e03978e without quotes
 */
export function idempotencyKeyOf(headers: Headers): string | null {
  const header = headers.get(IDEMPOTENCY_KEY);
  if (header === null) return null;
  const text = header.trim();
  const [, quoted] = QUOTED.exec(text) ?? [];
  const key = quoted?.replaceAll(/\\(.)/g, '$1') ?? (BARE.test(text) ? text : '');
  if (key.length > MAX_IDEMPOTENCY_KEY) {
    const detail = `Idempotency-Key: must have at most ${MAX_IDEMPOTENCY_KEY} characters.`;
    const sizes = { limit: MAX_IDEMPOTENCY_KEY, actual: key.length };
    throw new ApiError('invalid-request', detail, { field: 'Idempotency-Key', ...sizes });
  }
  if (key.trim() !== '') return key;
  const detail =
    'Idempotency-Key: must be one key of visible ASCII characters without commas, such as a UUID, or a text in double quotes.';
  throw new ApiError('invalid-request', detail, { field: 'Idempotency-Key' });
}
