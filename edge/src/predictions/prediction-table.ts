/** The predictions of one caller in its object's SQLite: the last ones, for an hour. */
import type { ImagePath } from '@blip2/shared/cache-key';
import { type Cursor, type Page, STORED_MS, type StoredPrediction } from './contract.ts';

/** Predictions that one caller has in any case; the oldest make room, some at once, as each deletion is time that somebody waits. */
const STORED_PREDICTIONS = 200;
const MORE_PREDICTIONS = 50;
const PAGE_SIZE = 50;

/** The image that a record is about, as SQLite reads it. */
const IMAGE = "json_extract(record, '$.image.path')";

type Row = { number: number; record: string; deltas: string };
export type Stored = { prediction: StoredPrediction; deltas: string[] };

export class PredictionTable {
  readonly #sql: SqlStorage;
  #lastNumber: number | undefined;
  /** Of its rows; unknown after a deletion. */
  #count: number | undefined;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  create(): void {
    this.#sql.exec(
      'CREATE TABLE IF NOT EXISTS predictions (number INTEGER PRIMARY KEY, id TEXT UNIQUE, created_at INTEGER, record TEXT, deltas TEXT)',
    );
    // Of a text that is written once, so that a deletion parses none of them.
    this.#sql.exec(`CREATE INDEX IF NOT EXISTS predictions_image ON predictions (${IMAGE})`);
  }

  /** The place of another one in lists, behind all before it, whenever it is put. */
  nextNumber(): number {
    const sql = 'SELECT MAX(number) AS last FROM predictions';
    this.#lastNumber ??= this.#sql.exec<{ last: number | null }>(sql).one().last ?? 0;
    return ++this.#lastNumber;
  }

  /** @param number that `nextNumber` has given it */
  put(number: number, prediction: StoredPrediction, deltas: readonly string[]): void {
    this.#sql.exec(
      'INSERT INTO predictions (number, id, created_at, record, deltas) VALUES (?, ?, ?, ?, ?)',
      ...[number, prediction.id, prediction.createdAt],
      ...[JSON.stringify(prediction), JSON.stringify(deltas)],
    );
    this.#count = 1 + (this.#count ?? this.#rows() - 1);
    if (this.#count <= STORED_PREDICTIONS + MORE_PREDICTIONS) return;
    this.#delete(
      // As many, not the last numbers: some numbers are of predictions that were refused.
      'number <= (SELECT number FROM predictions ORDER BY number DESC LIMIT 1 OFFSET ?)',
      STORED_PREDICTIONS,
    );
  }

  update(prediction: StoredPrediction, deltas: readonly string[]): void {
    this.#sql.exec(
      'UPDATE predictions SET record = ?, deltas = ? WHERE id = ?',
      ...[JSON.stringify(prediction), JSON.stringify(deltas), prediction.id],
    );
  }

  delete(id: string): void {
    this.#delete('id = ?', id);
  }

  deleteImage(image: ImagePath): void {
    this.#delete(`${IMAGE} = ?`, image);
  }

  find(id: string, now: number): Stored | null {
    const [row] = this.#sql
      .exec<Row>(
        'SELECT number, record, deltas FROM predictions WHERE id = ? AND created_at > ?',
        ...[id, now - STORED_MS],
      )
      .toArray();
    return row === undefined ? null : storedOf(row);
  }

  /** The newest first, whichever way the page was come to. */
  list(cursor: Cursor | null, now: number): Page {
    const isNewer = cursor?.direction === 'newer';
    const [compare, order] = isNewer ? ['>', 'ASC'] : ['<', 'DESC'];
    const from = cursor?.number ?? Number.MAX_SAFE_INTEGER;
    const rows = this.#sql
      .exec<Omit<Row, 'deltas'>>(
        `SELECT number, record FROM predictions WHERE number ${compare} ? AND created_at > ? ORDER BY number ${order} LIMIT ?`,
        ...[from, now - STORED_MS, PAGE_SIZE],
      )
      .toArray();
    if (isNewer) rows.reverse();
    const [newest, oldest] = [rows.at(0)?.number ?? from, rows.at(-1)?.number ?? from];
    return {
      predictions: rows.map(({ record }) => JSON.parse(record)),
      older: this.#has('<', oldest, now) ? oldest : null,
      newer: this.#has('>', newest, now) ? newest : null,
    };
  }

  #delete(which: string, value: string | number): void {
    this.#sql.exec(`DELETE FROM predictions WHERE ${which}`, value);
    this.#count = undefined;
  }

  #rows(): number {
    return this.#sql.exec<{ count: number }>('SELECT COUNT(*) AS count FROM predictions').one()
      .count;
  }

  #has(compare: '<' | '>', number: number, now: number): boolean {
    const { count } = this.#sql
      .exec<{ count: number }>(
        `SELECT COUNT(*) AS count FROM predictions WHERE number ${compare} ? AND created_at > ?`,
        ...[number, now - STORED_MS],
      )
      .one();
    return count > 0;
  }

  /** Deletes what is older than an hour. @returns when the oldest of the rest was created */
  expire(now: number): number | null {
    this.#delete('created_at <= ?', now - STORED_MS);
    const sql = 'SELECT MIN(created_at) AS oldest FROM predictions';
    return this.#sql.exec<{ oldest: number | null }>(sql).one().oldest;
  }
}

function storedOf({ record, deltas }: Row): Stored {
  return { prediction: JSON.parse(record), deltas: JSON.parse(deltas) };
}
