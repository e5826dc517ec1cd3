/** Uploads in parts that are under way, in the SQLite of their owner's object: a Worker whose client goes away may end with nothing said. */

/** Since its last part: the slowest that may come needs 22 minutes for one. */
const PART_MS = 30 * 60_000;
/** The bucket itself ends one after 7 days. */
const FORGOTTEN_MS = 8 * 86_400_000;

/** @property bytes of its parts, with the one that is about to be put */
export type PartedUpload = { key: string; id: string; bytes: number };

export class JobUploadTable {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  create(): void {
    this.#sql.exec(
      'CREATE TABLE IF NOT EXISTS uploads (id TEXT PRIMARY KEY, key TEXT, bytes INTEGER, begun_at INTEGER, expires_at INTEGER)',
    );
  }

  note({ id, key, bytes }: PartedUpload, now: number): void {
    this.#sql.exec(
      `INSERT INTO uploads VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET bytes = excluded.bytes, expires_at = excluded.expires_at`,
      ...[id, key, bytes, now, now + PART_MS],
    );
  }

  /** Bytes of all but one. */
  bytes(but = ''): number {
    const sql = 'SELECT COALESCE(SUM(bytes), 0) AS n FROM uploads WHERE id <> ?';
    return this.#sql.exec<{ n: number }>(sql, but).one().n;
  }

  end(id: string): void {
    this.#sql.exec('DELETE FROM uploads WHERE id = ?', id);
  }

  postpone(id: string, at: number): void {
    this.#sql.exec('UPDATE uploads SET expires_at = ? WHERE id = ?', at, id);
  }

  /** Those to which nothing came any more. */
  expired(now: number, limit: number): Pick<PartedUpload, 'id' | 'key'>[] {
    this.#sql.exec('DELETE FROM uploads WHERE begun_at <= ?', now - FORGOTTEN_MS);
    return this.#sql
      .exec<{ id: string; key: string }>(
        'SELECT id, key FROM uploads WHERE expires_at <= ? ORDER BY expires_at LIMIT ?',
        ...[now, limit],
      )
      .toArray();
  }

  /** When the next one expires; null where there is none. */
  nextEnd(): number | null {
    const sql = 'SELECT MIN(expires_at) AS next FROM uploads';
    return this.#sql.exec<{ next: number | null }>(sql).one().next;
  }
}
