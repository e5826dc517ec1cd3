/** The files of one owner in its object's SQLite: what is said of them; the bytes are in the bucket. */
import type { FilePurpose } from '@blip2/shared/schemas/openai/files';
import {
  type IndexPage,
  type JobFile,
  type PageOrder,
  SILENT_PLACE_MS,
} from './job-index-contract.ts';

/** A file makes room for others after so long, milliseconds: whoever has its id may be about to read it. */
const NEW_MS = 3_600_000;

/** Files that make room for others: the job of no other owner is known here. */
const IS_SPARE = `record IS NOT NULL AND expires_at > ? AND json_extract(record, '$.createdAt') <= ?
  AND id NOT IN (SELECT reads FROM jobs WHERE is_open = 1 AND reads IS NOT NULL)`;

type Row = { number: number; record: string };

export class JobFileTable {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  create(): void {
    this.#sql.exec(
      'CREATE TABLE IF NOT EXISTS files (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, bytes INTEGER, expires_at INTEGER, record TEXT)',
    );
    this.#sql.exec('CREATE INDEX IF NOT EXISTS files_by_end ON files (expires_at)');
  }

  /** How many there are whose time is not over, those that are still to come too, and their bytes. */
  total(now: number): { files: number; bytes: number } {
    return this.#sql
      .exec<{ files: number; bytes: number }>(
        'SELECT COUNT(*) AS files, COALESCE(SUM(bytes), 0) AS bytes FROM files WHERE expires_at > ?',
        now,
      )
      .one();
  }

  reserve(id: string, now: number): void {
    this.#sql.exec(
      'INSERT INTO files (id, bytes, expires_at) VALUES (?, 0, ?)',
      ...[id, now + SILENT_PLACE_MS],
    );
  }

  /** It comes still. */
  renew(id: string, now: number): void {
    this.#sql.exec(
      'UPDATE files SET expires_at = ? WHERE id = ? AND record IS NULL AND expires_at > ?',
      ...[now + SILENT_PLACE_MS, id, now],
    );
  }

  /** The time of the oldest that make room is over now: of so many, and of those that have so many bytes. */
  expireOldest({ files, bytes }: { files: number; bytes: number }, now: number): void {
    if (files <= 0 && bytes <= 0) return;
    this.#sql.exec(
      `UPDATE files SET expires_at = ? WHERE number IN (SELECT number FROM (
        SELECT number, ROW_NUMBER() OVER (ORDER BY number) AS place, SUM(bytes) OVER (ORDER BY number) - bytes AS older
        FROM files WHERE ${IS_SPARE}) WHERE place <= ? OR older < ?)`,
      ...[now, now, now - NEW_MS, files, bytes],
    );
  }

  /** @returns whether its place was still there */
  put(file: JobFile, now: number): boolean {
    const { id, bytes, expiresAt } = file;
    const { rowsWritten } = this.#sql.exec(
      'UPDATE files SET bytes = ?, expires_at = ?, record = ? WHERE id = ? AND record IS NULL AND expires_at > ?',
      ...[bytes, expiresAt, JSON.stringify(file), id, now],
    );
    return rowsWritten > 0;
  }

  find(id: string, now: number): JobFile | null {
    const [row] = this.#sql
      .exec<Row>(
        'SELECT number, record FROM files WHERE id = ? AND record IS NOT NULL AND expires_at > ?',
        ...[id, now],
      )
      .toArray();
    return row === undefined ? null : JSON.parse(row.record);
  }

  /** @param purpose of those that are listed; null for all */
  list(
    { after, limit, oldestFirst }: PageOrder,
    purpose: FilePurpose | null,
    now: number,
  ): IndexPage<JobFile> | null {
    const [compare, order] = oldestFirst ? ['>', 'ASC'] : ['<', 'DESC'];
    let from = oldestFirst ? 0 : Number.MAX_SAFE_INTEGER;
    if (after !== null) {
      const [row] = this.#sql
        .exec<{ number: number }>('SELECT number FROM files WHERE id = ?', after)
        .toArray();
      if (row === undefined) return null;
      from = row.number;
    }
    const rows = this.#sql
      .exec<Row>(
        `SELECT number, record FROM files WHERE number ${compare} ? AND record IS NOT NULL AND expires_at > ? AND coalesce(json_extract(record, '$.purpose'), 'batch') = coalesce(?, json_extract(record, '$.purpose'), 'batch') ORDER BY number ${order} LIMIT ?`,
        ...[from, now, purpose, limit + 1],
      )
      .toArray();
    const entries = rows.slice(0, limit).map(({ record }): JobFile => JSON.parse(record));
    return { entries, hasMore: rows.length > limit };
  }

  /** @returns whether there was one that had come */
  delete(id: string): boolean {
    const rows = this.#sql.exec<Row>('SELECT record FROM files WHERE id = ?', id).toArray();
    this.#sql.exec('DELETE FROM files WHERE id = ?', id);
    return rows.some(({ record }) => record !== null);
  }

  /** Ids of those that are this image. */
  withBytes(sha256: string): string[] {
    return this.#sql
      .exec<{ id: string }>(
        "SELECT id FROM files WHERE json_extract(record, '$.sha256') = ?",
        sha256,
      )
      .toArray()
      .map(({ id }) => id);
  }

  /** Ids of those that have expired, the earliest first. */
  expired(now: number, limit: number): string[] {
    return this.#sql
      .exec<{ id: string }>(
        'SELECT id FROM files WHERE expires_at <= ? ORDER BY expires_at LIMIT ?',
        ...[now, limit],
      )
      .toArray()
      .map(({ id }) => id);
  }

  /** When the next one expires; null where there is none. */
  nextEnd(): number | null {
    const sql = 'SELECT MIN(expires_at) AS next FROM files';
    return this.#sql.exec<{ next: number | null }>(sql).one().next;
  }
}
