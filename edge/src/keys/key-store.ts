/** Looks keys up: in this isolate's memory for some seconds, then in KV. */
import { KeyRecord, keyName } from '@blip2/shared/api-key';
import { ApiError } from '@blip2/shared/errors';
import { SingleFlight } from '../turns/single-flight.ts';
import { within } from '../within.ts';
import { WorkInHand, type WorkPlace, waitOutside } from '../work-in-hand.ts';
import { LONGEST_WAIT_MS, LookupQueue } from './lookup-queue.ts';

/** How long an isolate believes what it read before it reads again. */
const MEMORY_MS = 10_000;
/** How long while it reads again: a revoked key works so much longer. */
const RENEWED_MS = 2 * MEMORY_MS;
/** How long a location of KV does; the least that KV allows. */
const KV_TTL_SECONDS = 30;
const MAX_ENTRIES = 1024;
/** Look-ups at a time; an address, or a key, alone has half of them. */
const MAX_LOOKUPS = 256;
/** Requests that wait for what another looks up of the same key; a key alone has half of them. */
const MAX_FOLLOWERS = 1024;
const RETRY_SECONDS = 5;
/** Whoever follows waits to the end: its place is free when its client leaves. */
const NEVER = new AbortController().signal;

/** `now`: milliseconds since the epoch. `timeoutMs`: how long KV may take. */
export type KeyStoreOptions = { kv: KVNamespace; now: () => number; timeoutMs: number };

/** Who has sent a key. */
export type Visitor = {
  /** Its address, by which it counts as long as its key is not known; none where nobody trusted says it. */
  address?: string | undefined;
  /** Aborted when it goes away. */
  signal?: AbortSignal;
  /** Of its request, which it leaves while its key is looked up: whoever has no key may not take the places of those who have. */
  work?: WorkPlace;
};

type Entry = {
  record: KeyRecord | null;
  readAt: number;
  /** Until when whoever reads it again is waited for: its request may have been stopped. */
  renewedUntil?: number;
};

export class KeyStore {
  readonly #options: KeyStoreOptions;
  /** By name, those used last at the end. */
  readonly #keys = new Map<string, Entry>();
  /** What was no key: guesses push each other out, and no key that is in use. */
  readonly #guesses = new Map<string, Entry>();
  /** Look-ups of keys that were good when they were read last, by key, and of all others, by address. */
  readonly #renewals: WorkInHand;
  readonly #lookups: WorkInHand;
  /** Those without an address are no client that could have a share: none of them is refused for what the others ask. */
  readonly #unnamed: LookupQueue;
  /** A team may send hundreds of requests at once with a key that nobody has used for a while: one of them reads it. */
  readonly #flights: SingleFlight<string, Entry>;
  readonly #followers: WorkInHand;

  constructor(options: KeyStoreOptions) {
    this.#options = options;
    this.#renewals = new WorkInHand(MAX_LOOKUPS, options.now);
    this.#lookups = new WorkInHand(MAX_LOOKUPS, options.now);
    this.#unnamed = new LookupQueue(this.#lookups, options.now);
    this.#flights = new SingleFlight(options.now, options.timeoutMs + LONGEST_WAIT_MS);
    this.#followers = new WorkInHand(MAX_FOLLOWERS, options.now);
  }

  /**
   * What is stored of a key; null where there is none, or it cannot be read, or was revoked.
   * @throws ApiError `keys-unavailable` where KV fails or is too slow: then nobody is let in; `too-many-requests` and
   *   `overloaded` where too many are looked up
   */
  async find(key: string, visitor: Visitor): Promise<KeyRecord | null> {
    const name = await keyName(key);
    const known = this.#keys.get(name) ?? this.#guesses.get(name);
    const entry = this.#isGood(known) ? known : await this.#lookUp(name, known, visitor);
    this.#put(name, entry);
    return entry.record;
  }

  /** One request reads a good key again, the others of that key go on by what is known. */
  #isGood(known: Entry | undefined): known is Entry {
    if (known === undefined) return false;
    const now = this.#options.now();
    const age = now - known.readAt;
    if (age < MEMORY_MS) return true;
    return known.record !== null && age < RENEWED_MS && now < (known.renewedUntil ?? 0);
  }

  async #lookUp(name: string, known: Entry | undefined, visitor: Visitor): Promise<Entry> {
    return await waitOutside(visitor.work, this.#lookUpOnce(name, known, visitor));
  }

  /** What one request looks up serves all that ask meanwhile. */
  async #lookUpOnce(name: string, known: Entry | undefined, visitor: Visitor): Promise<Entry> {
    const isRenewed = (known?.record ?? null) !== null;
    // An address has its own look-ups of a key that is not known, and is refused by itself.
    const flown = isRenewed ? name : `${name} ${visitor.address ?? ''}`;
    for (;;) {
      const flight = this.#flights.join(flown, this.#options.now());
      if (flight.role === 'follower') {
        using _place = this.#followers.take(visitor.signal, flown);
        const entry = await flight.wait({ signal: NEVER, deadlineAt: Number.POSITIVE_INFINITY });
        if (entry !== null) return entry;
        continue;
      }
      try {
        const entry = isRenewed
          ? await this.#renew(name, known, visitor)
          : await this.#lookUpNew(name, visitor);
        flight.settle(entry, Promise.resolve());
        return entry;
      } catch (failure) {
        // What is refused to a client that is gone is not refused to those that follow.
        if (visitor.signal?.aborted) flight.leave();
        else flight.fail(failure);
        throw failure;
      }
    }
  }

  async #renew(name: string, known: Entry | undefined, { signal }: Visitor): Promise<Entry> {
    const { now, timeoutMs } = this.#options;
    const readAt = now();
    using _place = this.#renewals.take(signal, name);
    if (known !== undefined) known.renewedUntil = readAt + timeoutMs;
    try {
      return { record: await this.#read(name), readAt };
    } catch (failure) {
      // The next tries at once: what is remembered says less the older it is.
      delete known?.renewedUntil;
      throw failure;
    }
  }

  async #lookUpNew(name: string, { address, signal }: Visitor): Promise<Entry> {
    const isUnnamed = address === undefined;
    const place = isUnnamed
      ? await this.#unnamed.take(signal)
      : this.#lookups.take(signal, address);
    try {
      const readAt = this.#options.now();
      return { record: await this.#read(name), readAt };
    } finally {
      place.leave();
      this.#unnamed.freed();
    }
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
