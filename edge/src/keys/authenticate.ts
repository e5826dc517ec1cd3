/** Lets a request in, by its key, or because the deployment is open to everybody. */
import { isKey, type KeyRecord, keyName, type Scope } from '@blip2/shared/api-key';
import { ApiError } from '@blip2/shared/errors';
import type { KeyStore, Visitor } from './key-store.ts';
import type { Namespaces } from './namespaces.ts';

/**
 * Who was let in by a key: the name under which its record is stored, the record, and the opaque name of its cache
 * namespace, '' for the shared one.
 */
export type Caller = { id: string; record: KeyRecord; namespace: string };

/** Who is let in: everybody, whoever has a key, or nobody as long as the operator has not said. */
export type Access = {
  allowAnonymous: boolean;
  keys: KeyStore | undefined;
  namespaces: Namespaces;
  now: () => number;
};

/** Headers that are a key and nothing else, as other services' clients send it. */
const KEY_HEADERS = ['x-api-key', 'x-moondream-auth'];

/** Clients of Replicate write `Token` in its place, or did. */
const AUTHORIZATION = /^(?:Bearer|Token)[ \t]+([^ \t].*)$/i;

const REALM = 'Bearer realm="blip2"';

/**
 * @param scope the family of the route; null where any key will do
 * @returns null where the service is open, and addresses tell callers apart
 * @throws ApiError `not-configured`, `missing-key`, `invalid-key`, `key-out-of-scope`, `keys-unavailable`, `too-many-requests`
 *   or `overloaded`
 */
export async function authenticate(
  headers: Headers,
  scope: Scope | null,
  { allowAnonymous, keys, namespaces, now }: Access,
  visitor: Visitor,
): Promise<Caller | null> {
  // Clients of other services send some key always: where everybody is let in, none is read.
  if (allowAnonymous) return null;
  if (keys === undefined) {
    throw new ApiError(
      'not-configured',
      'This deployment has no keys and is not open: bind a KV namespace as KEYS and create a key (`npm run keys -- create NAME --remote`), or set ALLOW_ANONYMOUS=true to let everybody use it.',
    );
  }
  const key = keyOf(headers);
  if (key === null) {
    throw new ApiError(
      'missing-key',
      'Send a key of this service, as `Authorization: Bearer sk-…` or `x-api-key: sk-…`.',
      { headers: { 'www-authenticate': REALM } },
    );
  }
  const record = isKey(key) ? await keys.find(key, visitor) : null;
  if (record === null) throw invalid('This is no key of this service, or it was revoked.');
  if (record.expires_at !== undefined && record.expires_at <= now()) {
    const when = new Date(record.expires_at).toISOString();
    throw invalid(`This key expired at ${when}; ask the operator for another.`);
  }
  if (scope !== null && !record.scopes.includes(scope)) {
    const has = record.scopes.join(', ') || 'nothing';
    throw new ApiError(
      'key-out-of-scope',
      `This needs a key with the scope ${scope}; this one has ${has}.`,
      {
        headers: {
          'www-authenticate': `${REALM}, error="insufficient_scope", scope="${scope}"`,
        },
      },
    );
  }
  return { id: await keyName(key), record, namespace: await namespaces.of(record.namespace) };
}

function invalid(detail: string): ApiError {
  return new ApiError('invalid-key', detail, {
    headers: { 'www-authenticate': `${REALM}, error="invalid_token"` },
  });
}

/** The key that a request has, by the first header that has one: an empty one is none. */
function keyOf(headers: Headers): string | null {
  const [, key] = AUTHORIZATION.exec(headers.get('authorization') ?? '') ?? [];
  const candidates = [key, ...KEY_HEADERS.map((name) => headers.get(name))];
  return candidates.find((candidate) => candidate?.trim())?.trim() ?? null;
}
