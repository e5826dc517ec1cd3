/** The jobs of one owner in its object's SQLite: which there are, not how they are. */
import type {
  AddedJob,
  IndexPage,
  JobKind,
  ListedJob,
  NotedResults,
  PageOrder,
} from './job-index-contract.ts';

/** An object of an earlier version has a table without these columns. */
const LATER_COLUMNS = { result_bytes: 'INTEGER NOT NULL DEFAULT 0', reads: 'TEXT' };

/** Those that have ended, and that no other one reads. */
const IS_OVER =
  'is_open = 0 AND id NOT IN (SELECT reads FROM jobs WHERE is_open = 1 AND reads IS NOT NULL)';

type Row = { number: number; id: string; kind: JobKind; created_at: number; delete_at: number };

export class JobListTable {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  create(): void {
    this.#sql.exec(
      'CREATE TABLE IF NOT EXISTS jobs (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, kind TEXT, created_at INTEGER, delete_at INTEGER, is_open INTEGER, result_bytes INTEGER NOT NULL DEFAULT 0, reads TEXT)',
    );
    const [table] = this.#sql
      .exec<{ sql: string }>("SELECT sql FROM sqlite_master WHERE name = 'jobs'")
      .toArray();
    for (const [name, type] of Object.entries(LATER_COLUMNS)) {
      if (table?.sql.includes(name)) continue;
      this.#sql.exec(`ALTER TABLE jobs ADD COLUMN ${name} ${type}`);
      // Nobody knows how much those of then have: they are not among those that have nothing.
      if (name === 'result_bytes') this.#sql.exec('UPDATE jobs SET result_bytes = 1');
    }
  }

  /** The same one again changes nothing. */
  add({ id, kind, createdAt, deleteAt, reads }: AddedJob): void {
    this.#sql.exec(
      'INSERT INTO jobs (id, kind, created_at, delete_at, is_open, reads) VALUES (?, ?, ?, ?, 1, ?) ON CONFLICT DO NOTHING',
      ...[id, kind, createdAt, deleteAt, reads ?? null],
    );
  }

  remove(id: string): void {
    this.#sql.exec('DELETE FROM jobs WHERE id = ?', id);
  }

  /** Deletes it later. */
  postpone(id: string, deleteAt: number): void {
    this.#sql.exec('UPDATE jobs SET delete_at = ? WHERE id = ?', ...[deleteAt, id]);
  }

  /** Those that had not ended when somebody last looked. */
  open(): { id: string; createdAt: number }[] {
    return this.#sql
      .exec<Pick<Row, 'id' | 'created_at'>>(
        'SELECT id, created_at FROM jobs WHERE is_open = 1 ORDER BY number',
      )
      .toArray()
      .map(({ id, created_at }) => ({ id, createdAt: created_at }));
  }

  /** Whether it is there, and counts among those: one that was counted out may be deleted at any time. */
  isOpen(id: string): boolean {
    const sql = 'SELECT 1 FROM jobs WHERE id = ? AND is_open = 1';
    return this.#sql.exec(sql, id).toArray().length > 0;
  }

  all(): string[] {
    return this.#sql
      .exec<{ id: string }>('SELECT id FROM jobs')
      .toArray()
      .map(({ id }) => id);
  }

  count(): number {
    return this.#sql.exec<{ n: number }>('SELECT COUNT(*) AS n FROM jobs').one().n;
  }

  /** The time of so many is over now: the oldest of those that have ended and that none reads. */
  expireOldest(count: number, now: number): void {
    if (count <= 0) return;
    this.#sql.exec(
      `UPDATE jobs SET delete_at = MIN(delete_at, ?) WHERE number IN (SELECT number FROM jobs WHERE ${IS_OVER} ORDER BY number LIMIT ?)`,
      ...[now, count],
    );
  }

  /** Bytes of the results of jobs whose time is not over. @param which `open`: only of those that had not ended */
  resultBytes(now: number, which: 'all' | 'open' = 'all'): number {
    const sql =
      'SELECT COALESCE(SUM(result_bytes), 0) AS n FROM jobs WHERE delete_at > ? AND is_open >= ?';
    return this.#sql.exec<{ n: number }>(sql, ...[now, which === 'open' ? 1 : 0]).one().n;
  }

  noteResults(id: string, { bytes, hasEnded }: NotedResults): void {
    this.#sql.exec('UPDATE jobs SET result_bytes = ? WHERE id = ?', ...[bytes, id]);
    if (hasEnded) this.close(id);
  }

  /** The time of some is over now, so that results of so many bytes go: the oldest of those that have ended and have any. */
  expireResults(bytes: number, now: number): void {
    if (bytes <= 0) return;
    this.#sql.exec(
      `UPDATE jobs SET delete_at = ? WHERE number IN (SELECT number FROM (
        SELECT number, SUM(result_bytes) OVER (ORDER BY number) - result_bytes AS older FROM jobs
        WHERE ${IS_OVER} AND result_bytes > 0 AND delete_at > ?) WHERE older < ?)`,
      ...[now, now, bytes],
    );
  }

  /** How many there are whose time is not over. */
  live(now: number): number {
    const sql = 'SELECT COUNT(*) AS n FROM jobs WHERE delete_at > ?';
    return this.#sql.exec<{ n: number }>(sql, now).one().n;
  }

  /** The time of so many is over now: the oldest batches that have ended and have nothing that could be read. */
  expireEmptyBatches(count: number, now: number): void {
    if (count <= 0) return;
    this.#sql.exec(
      "UPDATE jobs SET delete_at = ? WHERE number IN (SELECT number FROM jobs WHERE kind = 'batch' AND is_open = 0 AND result_bytes = 0 AND delete_at > ? ORDER BY number LIMIT ?)",
      ...[now, now, count],
    );
  }

  close(id: string): void {
    this.#sql.exec('UPDATE jobs SET is_open = 0 WHERE id = ?', id);
  }

  list(kind: JobKind, { after, limit, oldestFirst }: PageOrder): IndexPage<ListedJob> | null {
    const [compare, order] = oldestFirst ? ['>', 'ASC'] : ['<', 'DESC'];
    let from = oldestFirst ? 0 : Number.MAX_SAFE_INTEGER;
    if (after !== null) {
      const [row] = this.#sql
        .exec<{ number: number }>('SELECT number FROM jobs WHERE id = ?', after)
        .toArray();
      if (row === undefined) return null;
      from = row.number;
    }
    const rows = this.#sql
      .exec<Row>(
        `SELECT number, id, kind, created_at, delete_at FROM jobs WHERE kind = ? AND number ${compare} ? ORDER BY number ${order} LIMIT ?`,
        ...[kind, from, limit + 1],
      )
      .toArray();
    const entries = rows.slice(0, limit).map(({ id, kind, created_at, delete_at }) => ({
      ...{ id, kind },
      createdAt: created_at,
      deleteAt: delete_at,
    }));
    return { entries, hasMore: rows.length > limit };
  }

  /** Ids of those whose time is over. */
  expired(now: number, limit: number): string[] {
    return this.#sql
      .exec<{ id: string }>(
        'SELECT id FROM jobs WHERE delete_at <= ? ORDER BY delete_at LIMIT ?',
        ...[now, limit],
      )
      .toArray()
      .map(({ id }) => id);
  }

  /** When the time of the next one is over; null where there is none. */
  nextEnd(): number | null {
    const sql = 'SELECT MIN(delete_at) AS next FROM jobs';
    return this.#sql.exec<{ next: number | null }>(sql).one().next;
  }
}
