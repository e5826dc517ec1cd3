/** The files of one caller in its object's SQLite: a row may have 2 MB, so that bytes are in pieces. */
import type { ImagePath } from '@blip2/shared/cache-key';
import { type NewFile, STORED_MS, type StoredFile } from './contract.ts';

/** What one caller has at most; the oldest make room. */
const MAX_FILES = 64;
const MAX_BYTES = 64 * 2 ** 20;
/** Of one row: whoever reads a file and stops has one in memory. */
const PIECE_BYTES = 2 ** 18;
/** Within which the same file is the same upload, sent again. */
const REPEATED_MS = 60_000;

type Row = { record: string };

export class FileTable {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  create(): void {
    this.#sql.exec(
      'CREATE TABLE IF NOT EXISTS files (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, created_at INTEGER, size INTEGER, record TEXT)',
    );
    this.#sql.exec(
      'CREATE TABLE IF NOT EXISTS pieces (id TEXT, number INTEGER, bytes BLOB, PRIMARY KEY (id, number)) WITHOUT ROWID',
    );
  }

  /** @param fresh what the file gets where it is not one that was just put */
  put(
    { bytes, ...file }: NewFile,
    fresh: Pick<StoredFile, 'id' | 'token' | 'createdAt'>,
  ): StoredFile {
    const { createdAt } = fresh;
    const repeated = this.list(createdAt).find(
      (other) =>
        createdAt - other.createdAt < REPEATED_MS &&
        other.image === file.image &&
        other.name === file.name &&
        other.metadata === file.metadata,
    );
    if (repeated !== undefined) return repeated;
    this.#makeRoom(bytes.length);
    const stored: StoredFile = { ...file, ...fresh, size: bytes.length };
    this.#sql.exec(
      'INSERT INTO files (id, created_at, size, record) VALUES (?, ?, ?, ?)',
      ...[stored.id, createdAt, bytes.length, JSON.stringify(stored)],
    );
    for (let start = 0, number = 0; start < bytes.length; start += PIECE_BYTES, number++) {
      const piece = bytes.slice(start, start + PIECE_BYTES).buffer;
      this.#sql.exec('INSERT INTO pieces VALUES (?, ?, ?)', ...[stored.id, number, piece]);
    }
    return stored;
  }

  #makeRoom(bytes: number): void {
    const rows = this.#sql
      .exec<{ id: string; size: number }>('SELECT id, size FROM files ORDER BY number DESC')
      .toArray();
    let total = bytes;
    for (const [index, { id, size }] of rows.entries()) {
      total += size;
      if (index >= MAX_FILES - 1 || total > MAX_BYTES) this.delete(id);
    }
  }

  find(id: string, now: number): StoredFile | null {
    const [row] = this.#sql
      .exec<Row>(
        'SELECT record FROM files WHERE id = ? AND created_at > ?',
        ...[id, now - STORED_MS],
      )
      .toArray();
    return row === undefined ? null : JSON.parse(row.record);
  }

  /** The newest first. */
  list(now: number): StoredFile[] {
    return this.#sql
      .exec<Row>(
        'SELECT record FROM files WHERE created_at > ? ORDER BY number DESC',
        now - STORED_MS,
      )
      .toArray()
      .map(({ record }) => JSON.parse(record));
  }

  /** @returns null where the file has none of this number, or is gone */
  piece(id: string, number: number): Uint8Array<ArrayBuffer> | null {
    const [row] = this.#sql
      .exec<{ bytes: ArrayBuffer }>(
        'SELECT bytes FROM pieces WHERE id = ? AND number = ?',
        ...[id, number],
      )
      .toArray();
    return row === undefined ? null : new Uint8Array(row.bytes);
  }

  deleteImage(image: ImagePath): void {
    const rows = this.#sql.exec<Row>('SELECT record FROM files').toArray();
    for (const { record } of rows) {
      const file: StoredFile = JSON.parse(record);
      if (file.image === image) this.delete(file.id);
    }
  }

  /** @returns whether there was one */
  delete(id: string): boolean {
    this.#sql.exec('DELETE FROM pieces WHERE id = ?', id);
    return this.#sql.exec('DELETE FROM files WHERE id = ?', id).rowsWritten > 0;
  }

  /** Deletes what is older than an hour. @returns when the oldest of the rest was created */
  expire(now: number): number | null {
    const old = this.#sql
      .exec<{ id: string }>('SELECT id FROM files WHERE created_at <= ?', now - STORED_MS)
      .toArray();
    for (const { id } of old) this.delete(id);
    const sql = 'SELECT MIN(created_at) AS oldest FROM files';
    return this.#sql.exec<{ oldest: number | null }>(sql).one().oldest;
  }
}
