/**
 * Deletes entries of the local storage soon after they expire, while workerd serves: miniflare does that for all of KV when somebody
 * lists, and until then workerd has nothing to do for them, afterwards all at once; and in the cache for a key that somebody asks for.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { entryDatabases } from './entry-databases.ts';

/**
 * Ten thousand expired entries stop workerd for two seconds and more when they are deleted at once: as many as hundreds of calls a
 * second leave in a minute. Where there are none, a list takes a few milliseconds.
 */
const PERIOD_MS = 5000;
/** Keys of the cache that are asked for in one period, one after the other: more than new images leave there. */
const KEYS_AT_ONCE = 200;

/** Longer than thousands of deletions take. A workerd that is stopped does not answer, and is replaced meanwhile. */
const PATIENCE_MS = 60_000;

/**
 * A Worker beside the served one, with its namespaces and its cache, at a socket of its own on this machine, for who knows its token. Not miniflare's proxies of them: whoever uses
 * one for the first time waits with the whole process, for ever where workerd is stopped, which only this process would replace.
 */
export const EXPIRING_WORKER = {
  name: 'expire-entries',
  contents: `export default {
  async fetch(request, { TOKEN, ...namespaces }) {
    if (new URL(request.url).pathname !== '/' + TOKEN) return new Response(null, { status: 404 });
    for (const namespace of Object.values(namespaces)) await namespace.list({ limit: 1 });
    const keys = await request.json().catch(() => null);
    for (const key of Array.isArray(keys) ? keys : []) {
      // Not \`delete\`: meanwhile somebody may have put a new reply there. Asked for, only one that has expired is deleted.
      const reply = await caches.default.match(key);
      await reply?.body?.cancel();
    }
    return new Response(null, { status: 204 });
  },
};`,
};

export type Expiring = {
  /** URL of `EXPIRING_WORKER`, whose path is its token; it may have another port after each start of workerd. */
  url: () => Promise<string>;
  /** Folder of the local storage's `v3`. */
  storage: string;
};

/** Until the signal aborts; keeps no process alive. */
export async function expireEntries(expiring: Expiring, signal: AbortSignal): Promise<void> {
  for (;;) {
    await delay(PERIOD_MS, undefined, { signal, ref: false }).catch(() => {});
    if (signal.aborted) return;
    // A workerd that hangs, ends or is started again: the next time does it.
    await expireOnce(expiring).catch(() => {});
  }
}

async function expireOnce({ url, storage }: Expiring): Promise<void> {
  const keys = await expiredKeys(join(storage, 'cache'));
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const body = JSON.stringify(keys);
  const response = await fetch(await url(), { method: 'POST', body, signal });
  await response.body?.cancel();
}

/** Read beside workerd, which locks its databases (in mode WAL) only while it writes. */
async function expiredKeys(cache: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const database of entryDatabases(cache, { readOnly: true })) {
    const rows = database
      .prepare(`SELECT key FROM _mf_entries WHERE expiration < ? LIMIT ${KEYS_AT_ONCE}`)
      .all(Date.now());
    keys.push(...rows.map(({ key }) => String(key)));
  }
  return keys.slice(0, KEYS_AT_ONCE);
}
