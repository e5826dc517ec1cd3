/** Keys for tests: stored in the real KV as `npm run keys` stores them. */
import { createKey, type KeyRecord, keyName, SCOPES } from '@blip2/shared/api-key';
import { testEnv } from './edge.ts';

/** @returns the headers of a request with the new key */
export async function storeKey(change: Partial<KeyRecord> = {}): Promise<Record<string, string>> {
  const key = createKey();
  const record = { name: 'test', scopes: [...SCOPES], created_at: Date.now(), ...change };
  await (testEnv.KEYS as KVNamespace).put(await keyName(key), JSON.stringify(record));
  return { authorization: `Bearer ${key}` };
}
