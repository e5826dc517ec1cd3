/** The jobs of one owner in its object's SQLite: which there are, not how they are. */
import {
  type AddedJob,
  CREATION_MS,
  type IndexPage,
  type JobKind,
  type ListedJob,
  type NotedResults,
  type PageOrder,
  SILENT_PLACE_MS,
} from './job-index-contract.ts';

/**
 * An object of an earlier version has a table without these columns. One whose lines are still to come is gone at `silent_at`, and one
 * whose creation is under way is there by `created_by`, or never: both are null from then on.
 */
const LATER_COLUMNS = {
  result_bytes: 'INTEGER NOT NULL DEFAULT 0',
  reads: 'TEXT',
  silent_at: 'INTEGER',
  created_by: 'INTEGER',
};

/** Those that have a place still. */
const HAS_PLACE = '(silent_at IS NULL OR silent_at > ?)';

/** Those that have ended, and that no other one reads. */
const IS_OVER =
  'is_open = 0 AND id NOT IN (SELECT reads FROM jobs WHERE is_open = 1 AND reads IS NOT NULL)';

type Row = { number: number; id: string; kind: JobKind; created_at: number; delete_at: number };

/** @property createdBy when it is there, or never; null where that is known, or it is of an earlier version */
export type OpenJob = { id: string; createdAt: number; createdBy: number | null };

export class JobListTable {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  create(): void {
    this.#sql.exec(
      'CREATE TABLE IF NOT EXISTS jobs (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, kind TEXT, created_at INTEGER, delete_at INTEGER, is_open INTEGER, result_bytes INTEGER NOT NULL DEFAULT 0, reads TEXT, silent_at INTEGER, created_by INTEGER)',
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

  /** Its lines are still to come. The same one again changes nothing. */
  add({ id, kind, createdAt, deleteAt, reads }: AddedJob, now: number): void {
    this.#sql.exec(
      'INSERT INTO jobs (id, kind, created_at, delete_at, is_open, reads, silent_at) VALUES (?, ?, ?, ?, 1, ?, ?) ON CONFLICT DO NOTHING',
      ...[id, kind, createdAt, deleteAt, reads ?? null, now + SILENT_PLACE_MS],
    );
  }

  /** Its lines come still. */
  renew(id: string, now: number): void {
    this.#sql.exec(
      'UPDATE jobs SET silent_at = ? WHERE id = ? AND silent_at > ?',
      ...[now + SILENT_PLACE_MS, id, now],
    );
  }

  /** Its lines are there. @returns whether it has its place still: one that was counted out may be deleted at any time */
  expectCreation(id: string, now: number): boolean {
    const { rowsWritten } = this.#sql.exec(
      `UPDATE jobs SET silent_at = NULL, created_by = ? WHERE id = ? AND is_open = 1 AND ${HAS_PLACE}`,
      // It is refused after half of that, by the clock of another machine.
      ...[now + 2 * CREATION_MS, id, now],
    );
    return rowsWritten > 0;
  }

  noteCreation(id: string): void {
    this.#sql.exec('UPDATE jobs SET silent_at = NULL, created_by = NULL WHERE id = ?', id);
  }

  /** It is none: it does not count any more, and goes with the next alarm. */
  abandon(id: string, now: number): void {
    this.#sql.exec(
      'UPDATE jobs SET silent_at = ?, created_by = NULL, is_open = 0, result_bytes = 0 WHERE id = ?',
      ...[now, id],
    );
  }

  /** Ids of those whose upload says nothing any more. */
  silent(now: number, limit: number): string[] {
    return this.#ids('silent_at <= ? ORDER BY silent_at LIMIT ?', now, limit);
  }

  /** Ids of those of which it shows now whether they were created. */
  undecided(now: number, limit: number): string[] {
    return this.#ids('created_by <= ? ORDER BY created_by LIMIT ?', now, limit);
  }

  /** Asks later whether it was created. */
  expectLater(id: string, at: number): void {
    this.#sql.exec('UPDATE jobs SET created_by = ? WHERE id = ?', ...[at, id]);
  }

  #ids(where: string, ...given: number[]): string[] {
    return this.#sql
      .exec<{ id: string }>(`SELECT id FROM jobs WHERE ${where}`, ...given)
      .toArray()
      .map(({ id }) => id);
  }

  remove(id: string): void {
    this.#sql.exec('DELETE FROM jobs WHERE id = ?', id);
  }

  /** Deletes it later. */
  postpone(id: string, deleteAt: number): void {
    this.#sql.exec('UPDATE jobs SET delete_at = ? WHERE id = ?', ...[deleteAt, id]);
  }

  /** How many had not ended when somebody last looked, those that are still to come too. */
  openCount(now: number): number {
    const sql = `SELECT COUNT(*) AS n FROM jobs WHERE is_open = 1 AND ${HAS_PLACE}`;
    return this.#sql.exec<{ n: number }>(sql, now).one().n;
  }

  /** Those of them whose lines are there. */
  open(): OpenJob[] {
    return this.#sql
      .exec<{ id: string; created_at: number; created_by: number | null }>(
        'SELECT id, created_at, created_by FROM jobs WHERE is_open = 1 AND silent_at IS NULL ORDER BY number',
      )
      .toArray()
      .map(({ id, created_at, created_by }) => ({
        ...{ id, createdAt: created_at },
        createdBy: created_by,
      }));
  }

  all(): string[] {
    return this.#ids('TRUE');
  }

  count(now: number): number {
    const sql = `SELECT COUNT(*) AS n FROM jobs WHERE ${HAS_PLACE}`;
    return this.#sql.exec<{ n: number }>(sql, now).one().n;
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
    this.noteCreation(id);
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
    const sql = `SELECT COUNT(*) AS n FROM jobs WHERE delete_at > ? AND ${HAS_PLACE}`;
    return this.#sql.exec<{ n: number }>(sql, now, now).one().n;
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

  /** It has ended, and has results whose size it is still to say: it is none of those that have nothing. */
  closeWithResults(id: string): void {
    this.#sql.exec('UPDATE jobs SET result_bytes = MAX(result_bytes, 1) WHERE id = ?', id);
    this.close(id);
  }

  /** Without those whose lines are still to come: nobody could read them. */
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
        `SELECT number, id, kind, created_at, delete_at FROM jobs WHERE kind = ? AND silent_at IS NULL AND number ${compare} ? ORDER BY number ${order} LIMIT ?`,
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
    return this.#ids('delete_at <= ? ORDER BY delete_at LIMIT ?', now, limit);
  }

  /** When something has to be done for the next one; null where there is none. */
  nextEnd(): number | null {
    const sql =
      'SELECT MIN(MIN(delete_at, COALESCE(silent_at, delete_at), COALESCE(created_by, delete_at))) AS next FROM jobs';
    return this.#sql.exec<{ next: number | null }>(sql).one().next;
  }
}
