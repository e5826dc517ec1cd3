/** One job in its object's SQLite: its order and state, its parts, and what reading its input has found. */

import {
  type JobCounts,
  type JobOrder,
  type JobState,
  type JobUsage,
  type LineError,
  MAX_LINE_ERRORS,
  type PartReport,
  type ResultState,
} from './contract.ts';
import type { InputPlace } from './input-lines.ts';
import type { NotedResults } from './job-index-contract.ts';

/** Where reading of the input has come to, and how many lines and items there were. */
export type Cursor = { line: number; items: number } & InputPlace;

export type JobRecord = {
  id: string;
  order: JobOrder;
  state: JobState;
  cursor: Cursor;
  times: Partial<Record<JobTime, number>>;
  /** There is no such job any more, but for what is still stored of it. */
  isPurged?: true;
  /** Results that are not read any more, and whether all that was stored of its items is deleted. */
  deleted?: ResultState[];
  isEmptied?: true;
  /** Tokens that were written down in the use of its sender; none where it is not there. */
  noted?: JobUsage;
  /** What the object of its owner knows of its results. */
  notedResults?: NotedResults;
};

export type JobTime =
  | 'createdAt'
  | 'inProgressAt'
  | 'finalizingAt'
  | 'completedAt'
  | 'failedAt'
  | 'cancellingAt'
  | 'cancelledAt'
  | 'expiredAt';

/** A part as its job knows it. */
export type KnownPart = { part: number; items: number };

type Totals = JobCounts & {
  closed: number;
  parts: number;
  usage: JobUsage;
  seconds: number;
  resultBytes: number;
};

export class JobTable {
  readonly #storage: DurableObjectStorage;
  #record: JobRecord | null;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    const { sql } = storage;
    const [parts] = sql
      .exec<{ sql: string }>("SELECT sql FROM sqlite_master WHERE name = 'part'")
      .toArray();
    // That of an earlier version has no such column.
    if (parts?.sql.includes('result_bytes') === false) {
      sql.exec('ALTER TABLE part ADD COLUMN result_bytes INTEGER DEFAULT 0');
    }
    const [row] = parts ? sql.exec<{ record: string }>('SELECT record FROM job').toArray() : [];
    this.#record = row === undefined ? null : JSON.parse(row.record);
  }

  /** Null where there is no such job. */
  get record(): Readonly<JobRecord> | null {
    return this.#record;
  }

  begin(record: JobRecord): void {
    const { sql } = this.#storage;
    this.#storage.transactionSync(() => {
      sql.exec('CREATE TABLE job (only INTEGER PRIMARY KEY CHECK (only = 1), record TEXT)');
      sql.exec(
        `CREATE TABLE part (part INTEGER PRIMARY KEY, items INTEGER, ids BLOB, is_started INTEGER, is_ended INTEGER,
          heard_at INTEGER, completed INTEGER, failed INTEGER, canceled INTEGER, prompt_tokens INTEGER,
          completion_tokens INTEGER, seconds REAL, is_closed INTEGER, result_bytes INTEGER)`,
      );
      sql.exec('CREATE TABLE error (number INTEGER PRIMARY KEY, record TEXT)');
      sql.exec('INSERT INTO job VALUES (1, ?)', JSON.stringify(record));
    });
    this.#record = record;
  }

  update(change: Partial<Omit<JobRecord, 'id' | 'order'>>): void {
    if (this.#record === null) throw new Error('there is no such job');
    const record = { ...this.#record, ...change };
    this.#storage.sql.exec('UPDATE job SET record = ?', JSON.stringify(record));
    this.#record = record;
  }

  /** Another state, and when. */
  enter(state: JobState, time: JobTime, at: number): void {
    this.update({ state, times: { ...this.#record?.times, [time]: at } });
  }

  /**
   * Lines that were read as a part.
   * @param ids of its items: a hash and a number of a line for each (`item-ids.ts`)
   */
  addPart({ part, items }: KnownPart, ids: Uint8Array<ArrayBuffer>, cursor: Cursor): void {
    this.#storage.transactionSync(() => {
      this.#storage.sql.exec(
        'INSERT OR REPLACE INTO part VALUES (?, ?, ?, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)',
        ...[part, items, ids.buffer],
      );
      this.update({ cursor });
    });
  }

  /** Those of one part. */
  idsOf(part: number): Uint8Array<ArrayBuffer> {
    const { ids } = this.#storage.sql
      .exec<{ ids: ArrayBuffer }>('SELECT ids FROM part WHERE part = ?', part)
      .one();
    return new Uint8Array(ids);
  }

  /** What is needed until all lines were read and compared. */
  dropRead(): void {
    this.#storage.sql.exec('UPDATE part SET ids = NULL');
    if (this.#record?.order.input.kind !== 'lines') return;
    const { order } = this.#record;
    this.#record = { ...this.#record, order: { ...order, input: { kind: 'lines', text: '' } } };
    this.update({});
  }

  addErrors(errors: readonly LineError[], cursor: Cursor): void {
    this.#storage.transactionSync(() => {
      for (const error of errors.slice(0, MAX_LINE_ERRORS - this.errors().length)) {
        this.#storage.sql.exec('INSERT INTO error (record) VALUES (?)', JSON.stringify(error));
      }
      this.update({ cursor });
    });
  }

  errors(): LineError[] {
    return this.#storage.sql
      .exec<{ record: string }>('SELECT record FROM error ORDER BY number')
      .toArray()
      .map(({ record }) => JSON.parse(record));
  }

  parts(): KnownPart[] {
    return this.#storage.sql
      .exec<KnownPart>('SELECT part, items FROM part ORDER BY part')
      .toArray();
  }

  /** Those that may start now: the next ones, as long as no more run than may. */
  startable(mostRunning: number, limit: number): KnownPart[] {
    const { n } = this.#storage.sql
      .exec<{ n: number }>('SELECT COUNT(*) AS n FROM part WHERE is_started = 1 AND is_closed = 0')
      .one();
    return this.#some('is_started = 0', Math.max(0, Math.min(mostRunning - n, limit)));
  }

  markStarted(part: number, now: number): void {
    this.#storage.sql.exec(
      'UPDATE part SET is_started = 1, heard_at = ? WHERE part = ?',
      now,
      part,
    );
  }

  /** Those that were not asked to end. */
  unended(limit: number): KnownPart[] {
    return this.#some('is_ended = 0 AND is_closed = 0', limit);
  }

  markEnded(part: number): void {
    this.#storage.sql.exec('UPDATE part SET is_ended = 1 WHERE part = ?', part);
  }

  /** Those that have said nothing since then, though they are not done. */
  silent(since: number, limit: number): KnownPart[] {
    return this.#storage.sql
      .exec<KnownPart>(
        'SELECT part, items FROM part WHERE is_started = 1 AND is_closed = 0 AND heard_at < ? ORDER BY heard_at LIMIT ?',
        ...[since, limit],
      )
      .toArray();
  }

  /** What a part says of itself. A report that was overtaken by a later one takes nothing back. */
  hear(
    { part, completed, failed, canceled, usage, seconds, isClosed, resultBytes = 0 }: PartReport,
    now: number,
  ): void {
    this.#storage.sql.exec(
      `UPDATE part SET heard_at = ?, completed = max(completed, ?), failed = max(failed, ?), canceled = max(canceled, ?),
        prompt_tokens = max(prompt_tokens, ?), completion_tokens = max(completion_tokens, ?), seconds = max(seconds, ?),
        is_closed = max(is_closed, ?), result_bytes = max(result_bytes, ?) WHERE part = ?`,
      ...[now, completed, failed, canceled, usage.prompt_tokens, usage.completion_tokens, seconds],
      ...[isClosed ? 1 : 0, resultBytes, part],
    );
  }

  totals(): Totals {
    const row = this.#storage.sql
      .exec<Record<string, number>>(
        `SELECT COUNT(*) AS parts, COALESCE(SUM(items), 0) AS total, COALESCE(SUM(completed), 0) AS completed,
          COALESCE(SUM(failed), 0) AS failed, COALESCE(SUM(canceled), 0) AS canceled, COALESCE(SUM(is_closed), 0) AS closed,
          COALESCE(SUM(prompt_tokens), 0) AS prompt, COALESCE(SUM(completion_tokens), 0) AS completion,
          COALESCE(SUM(seconds), 0) AS seconds, COALESCE(SUM(result_bytes), 0) AS result_bytes FROM part`,
      )
      .one();
    const of = (name: string) => row[name] ?? 0;
    return {
      parts: of('parts'),
      total: of('total'),
      completed: of('completed'),
      failed: of('failed'),
      canceled: of('canceled'),
      closed: of('closed'),
      usage: { prompt_tokens: of('prompt'), completion_tokens: of('completion') },
      seconds: of('seconds'),
      resultBytes: of('result_bytes'),
    };
  }

  forget(): void {
    this.#record = null;
  }

  #some(where: string, limit: number): KnownPart[] {
    return this.#storage.sql
      .exec<KnownPart>(`SELECT part, items FROM part WHERE ${where} ORDER BY part LIMIT ?`, limit)
      .toArray();
  }
}
