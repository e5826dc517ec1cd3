/** The items of a part in its object's SQLite: those that are open, and the results of those that have ended. */

import { pause } from '../turns/turns.ts';
import type { JobUsage, PartOrder } from './contract.ts';
import { type OpenItem, OpenItems } from './open-items.ts';
import { type Amount, ResultRows, type SomeResults } from './result-rows.ts';

export type Outcome = 'completed' | 'failed' | 'canceled' | 'expired';

/** An item that has ended. `line` is a `ResultLine` as JSON. */
export type EndedItem = { item: number; outcome: Outcome; line: string; usage: JobUsage | null };

type Tally = {
  completed: number;
  failed: number;
  canceled: number;
  promptTokens: number;
  completionTokens: number;
  seconds: number;
};

/** Where reading of the part's lines has come to. */
export type Place = { offset: number; item: number };

export type PartState = {
  order: PartOrder;
  place: Place;
  tally: Tally;
  /** All before this item were sent once; a row of each would be written again for it. */
  sentTo: number;
  /** How what has not ended is to end; null where it runs. */
  ending: 'canceled' | 'expired' | null;
  isClosed: boolean;
  /** How often the next item could not be tried. */
  failures: number;
  /** Of all results, each with the end of its line. */
  resultBytes: number;
};

type StateRow = { record: string };

/** A table of more is not dropped in one go: SQLite takes 1.6 ms for each of its megabytes, and nobody else comes meanwhile. */
const LARGE_BYTES = 16 * 2 ** 20;
/** Put into the queue at a time: what is to be done may have the texts of a request. */
const SENT = { items: 500, bytes: 2 ** 20 };
/** Deleted at a time. */
const DELETED: Amount = { lines: 1000, bytes: 4 * 2 ** 20 };

const NOTHING: Tally = {
  completed: 0,
  failed: 0,
  canceled: 0,
  promptTokens: 0,
  completionTokens: 0,
  seconds: 0,
};

export class PartTable {
  /** Items that wait: only while the part is not closed. */
  readonly open: OpenItems;
  readonly #results: ResultRows;
  readonly #storage: DurableObjectStorage;
  #state: PartState | null;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    this.open = new OpenItems(storage);
    this.#results = new ResultRows(storage);
    const { sql } = storage;
    const sqlOfTable = "SELECT 1 FROM sqlite_master WHERE name = 'state'";
    const [row] =
      sql.exec(sqlOfTable).toArray()[0] === undefined
        ? []
        : sql.exec<StateRow>('SELECT record FROM state').toArray();
    this.#state = row === undefined ? null : this.#stateOf(JSON.parse(row.record));
  }

  /** Null before it was begun. */
  get state(): Readonly<PartState> | null {
    return this.#state;
  }

  begin(order: PartOrder): void {
    const { sql } = this.#storage;
    this.#atomically(() => {
      sql.exec('CREATE TABLE state (only INTEGER PRIMARY KEY CHECK (only = 1), record TEXT)');
      this.#results.create();
      this.open.create();
      const state = {
        order,
        place: { offset: 0, item: 0 },
        sentTo: 0,
        tally: { ...NOTHING },
        ending: null,
        isClosed: false,
        failures: 0,
        resultBytes: 0,
      };
      sql.exec('INSERT INTO state VALUES (1, ?)', JSON.stringify(state));
      this.#state = state;
    });
  }

  /** All of it happens, or nothing. */
  update(change: Partial<Omit<PartState, 'order' | 'tally' | 'resultBytes'>>): void {
    const state = this.#required();
    this.#write({ ...state, ...change });
  }

  /**
   * Items that were read: those that wait, and those that have ended already, and where reading goes on.
   * @returns false where another has read them meanwhile
   */
  read(
    from: Place,
    to: Place,
    open: readonly Pick<OpenItem, 'item' | 'line' | 'work'>[],
    ended: readonly EndedItem[],
    now: number,
  ): boolean {
    const { place } = this.#required();
    if (place.item !== from.item) return false;
    this.#atomically(() => {
      for (const item of open) this.open.add(item, now);
      this.#insert(ended);
      this.update({ place: to, failures: 0 });
    });
    return true;
  }

  /** Stores results: the first of an item counts. @returns how many were the first */
  end(ended: readonly EndedItem[], seconds = 0): number {
    return this.#atomically(() => {
      const fresh = this.#insert(ended);
      if (seconds > 0) {
        const state = this.#required();
        const tally = { ...state.tally, seconds: state.tally.seconds + seconds };
        this.#write({ ...state, tally });
      }
      return fresh;
    });
  }

  #insert(ended: readonly EndedItem[]): number {
    const state = this.#required();
    const tally = { ...state.tally };
    let { resultBytes } = state;
    let fresh = 0;
    for (const result of ended) {
      const { item, outcome, usage } = result;
      const bytes = this.#results.insert(result);
      this.open.delete(item);
      if (bytes === null) continue;
      fresh++;
      resultBytes += bytes;
      tally[outcome === 'expired' ? 'canceled' : outcome]++;
      tally.promptTokens += usage?.prompt_tokens ?? 0;
      tally.completionTokens += usage?.completion_tokens ?? 0;
    }
    if (fresh > 0) this.#write({ ...state, tally, resultBytes });
    return fresh;
  }

  /** Null where it has ended, or was never read. */
  openItem(item: number): OpenItem | null {
    if (this.#state === null || this.#state.isClosed) return null;
    return this.open.find(item);
  }

  openCount(): number {
    if (this.#state === null || this.#state.isClosed) return 0;
    return this.open.count();
  }

  /** Items whose messages are to be sent, some from one on. */
  unsent(from: number, now: number, resendMs: number): ReturnType<OpenItems['unsent']> {
    const { sentTo } = this.#required();
    return this.open.unsent({ sentTo, from, now, resendMs }, SENT);
  }

  /**
   * @param tried items that `unsent` gave, in their order
   * @param isSent of each, whether the queue has it
   */
  markSent(tried: readonly number[], isSent: readonly boolean[], now: number): void {
    this.#atomically(() => {
      const { sentTo } = this.#required();
      for (const [index, item] of tried.entries()) {
        if (item < sentTo && isSent[index] === true) this.open.markSent(item, now);
      }
      const missed = tried.find((item, index) => item >= sentTo && isSent[index] !== true);
      const next = missed ?? (tried.at(-1) ?? -1) + 1;
      if (next > sentTo) this.update({ sentTo: next });
    });
  }

  /** Lines of results in the order of their items, from one on. */
  results(from: number, amount: Amount): SomeResults {
    return this.#results.some(from, amount);
  }

  /** Bytes of all results, each with the end of its line. */
  resultBytes(): number {
    return this.#required().resultBytes;
  }

  /** The results are in the bucket: they are deleted here, which again goes on where it was stopped. */
  async close(): Promise<void> {
    if (!this.#required().isClosed) {
      this.#atomically(() => {
        this.update({ isClosed: true });
        this.open.drop();
      });
    }
    if (!this.#results.isThere()) return;
    // Whole tables where they are small: to delete rows costs as much as to write them.
    if (this.resultBytes() > LARGE_BYTES) {
      while (this.#results.deleteSome(DELETED)) {
        await pause(1);
        // Meanwhile all of it may have been deleted.
        if (this.#state === null || !this.#results.isThere()) return;
      }
    }
    this.#results.drop();
  }

  forget(): void {
    this.#state = null;
  }

  /** What is in memory goes back with what is stored. */
  #atomically<T>(work: () => T): T {
    const before = this.#state;
    try {
      return this.#storage.transactionSync(work);
    } catch (error) {
      this.#state = before;
      throw error;
    }
  }

  /** Of parts that were begun before their bytes were counted, they are counted now. */
  #stateOf(stored: Omit<PartState, 'resultBytes'> & { resultBytes?: number }): PartState {
    const { resultBytes = this.#results.isThere() ? this.#results.bytes() : 0 } = stored;
    return { ...stored, resultBytes };
  }

  #required(): PartState {
    if (this.#state === null) throw new Error('the part was not begun');
    return this.#state;
  }

  #write(state: PartState): void {
    this.#storage.sql.exec('UPDATE state SET record = ?', JSON.stringify(state));
    this.#state = state;
  }
}
