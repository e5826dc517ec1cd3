/** Looks keys up: in this isolate's memory for some seconds, then in KV. */
import { KeyRecord, keyName } from '@blip2/shared/api-key';
import { ApiError } from '@blip2/shared/errors';
import { within } from '../within.ts';

/** How long an isolate believes what it read: a revoked key works so much longer. */
const MEMORY_MS = 10_000;
/** How long a location of KV does; the least that KV allows. */
const KV_TTL_SECONDS = 30;
const MAX_ENTRIES = 1024;
const RETRY_SECONDS = 5;

/** `now`: milliseconds since the epoch. `timeoutMs`: how long KV may take. */
export type KeyStoreOptions = { kv: KVNamespace; now: () => number; timeoutMs: number };

type Entry = { record: KeyRecord | null; readAt: number };

export class KeyStore {
  readonly #options: KeyStoreOptions;
  /** By name, those used last at the end: guesses push each other out, not the keys that are in use. */
  readonly #entries = new Map<string, Entry>();

  constructor(options: KeyStoreOptions) {
    this.#options = options;
  }

  /**
   * What is stored of a key; null where there is none, or it cannot be read, or was revoked.
   * @throws ApiError `keys-unavailable` where KV fails or is too slow: then nobody is let in
   */
  async find(key: string): Promise<KeyRecord | null> {
    const name = await keyName(key);
    const now = this.#options.now();
    const known = this.#entries.get(name);
    this.#entries.delete(name);
    const isFresh = known !== undefined && now - known.readAt < MEMORY_MS;
    const entry = isFresh ? known : { record: await this.#read(name), readAt: now };
    this.#entries.set(name, entry);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= MAX_ENTRIES) break;
      this.#entries.delete(oldest);
    }
    return entry.record;
  }

  async #read(name: string): Promise<KeyRecord | null> {
    const { kv, timeoutMs } = this.#options;
    const text = await within(
      timeoutMs,
      kv.get(name, { type: 'text', cacheTtl: KV_TTL_SECONDS }),
      'kv get of a key',
    ).catch((cause: unknown) => {
      const detail = 'Keys cannot be looked up at the moment; try again.';
      throw new ApiError('keys-unavailable', detail, { cause, retry_after: RETRY_SECONDS });
    });
    return text === null ? null : parse(text);
  }
}

/** A record that is none is no key: whatever wrote it, nobody is let in by it. */
function parse(text: string): KeyRecord | null {
  try {
    return KeyRecord.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}
