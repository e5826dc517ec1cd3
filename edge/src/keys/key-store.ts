/** Looks keys up: in this isolate's memory for some seconds, then in KV. */
import { KeyRecord, keyName } from '@blip2/shared/api-key';
import { ApiError } from '@blip2/shared/errors';
import { within } from '../within.ts';
import { WorkInHand, type WorkPlace, waitOutside } from '../work-in-hand.ts';

/** How long an isolate believes what it read: a revoked key works so much longer. */
const MEMORY_MS = 10_000;
/** How long a location of KV does; the least that KV allows. */
const KV_TTL_SECONDS = 30;
const MAX_ENTRIES = 1024;
/** Look-ups at a time; an address, or a key, alone has half of them. */
const MAX_LOOKUPS = 256;
const RETRY_SECONDS = 5;

/** `now`: milliseconds since the epoch. `timeoutMs`: how long KV may take. */
export type KeyStoreOptions = { kv: KVNamespace; now: () => number; timeoutMs: number };

/** Who has sent a key. */
export type Visitor = {
  /** Its address, by which it counts as long as its key is not known. */
  address: string;
  /** Aborted when it goes away. */
  signal?: AbortSignal;
  /** Of its request, which it leaves while its key is looked up: whoever has no key may not take the places of those who have. */
  work?: WorkPlace;
};

type Entry = { record: KeyRecord | null; readAt: number };

export class KeyStore {
  readonly #options: KeyStoreOptions;
  /** By name, those used last at the end. */
  readonly #keys = new Map<string, Entry>();
  /** What was no key: guesses push each other out, and no key that is in use. */
  readonly #guesses = new Map<string, Entry>();
  /** Look-ups of keys that were good when they were read last, by key, and of all others, by address. */
  readonly #renewals: WorkInHand;
  readonly #lookups: WorkInHand;

  constructor(options: KeyStoreOptions) {
    this.#options = options;
    this.#renewals = new WorkInHand(MAX_LOOKUPS, options.now);
    this.#lookups = new WorkInHand(MAX_LOOKUPS, options.now);
  }

  /**
   * What is stored of a key; null where there is none, or it cannot be read, or was revoked.
   * @throws ApiError `keys-unavailable` where KV fails or is too slow: then nobody is let in; `too-many-requests` and
   *   `overloaded` where too many are looked up
   */
  async find(key: string, visitor: Visitor): Promise<KeyRecord | null> {
    const name = await keyName(key);
    const known = this.#keys.get(name) ?? this.#guesses.get(name);
    const isFresh = known !== undefined && this.#options.now() - known.readAt < MEMORY_MS;
    const entry = isFresh ? known : await this.#lookUp(name, known, visitor);
    this.#put(name, entry);
    return entry.record;
  }

  async #lookUp(name: string, known: Entry | undefined, visitor: Visitor): Promise<Entry> {
    const readAt = this.#options.now();
    const { signal, address, work } = visitor;
    using _place =
      (known?.record ?? null) === null
        ? this.#lookups.take(signal, address)
        : this.#renewals.take(signal, name);
    return { record: await waitOutside(work, this.#read(name)), readAt };
  }

  #put(name: string, entry: Entry): void {
    this.#keys.delete(name);
    this.#guesses.delete(name);
    const entries = entry.record === null ? this.#guesses : this.#keys;
    entries.set(name, entry);
    for (const oldest of entries.keys()) {
      if (entries.size <= MAX_ENTRIES) break;
      entries.delete(oldest);
    }
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
