/** Finished replies by key, in the SQLite of a Durable Object, for 24 hours. */
import type { ReplyHead } from './running-reply.ts';

const DAY_MS = 86_400_000;

/** What tells requests apart: digests of what a request says beside its body, and of its body. */
export type Fingerprint = { head: string; body: string | null };

export type StoredReply = {
  fingerprint: Fingerprint;
  head: ReplyHead;
  body: Uint8Array<ArrayBuffer>;
};

/** How much one object stores: one of the sixteen that a caller has. */
export type Bounds = { replies: number; bytes: number };

type Row = {
  head: string;
  body_digest: string;
  status: number;
  headers: string;
  body: ArrayBuffer;
};

export class StoredReplies {
  readonly #sql: SqlStorage;
  readonly #bounds: Bounds;
  /** Made with the first reply: an object that never stored one takes no room. */
  #hasTable: boolean;
  #replies = 0;
  #bytes = 0;

  constructor(sql: SqlStorage, bounds: Bounds) {
    this.#sql = sql;
    this.#bounds = bounds;
    const named = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'replies'";
    this.#hasTable = sql.exec(named).toArray().length > 0;
    if (!this.#hasTable) return;
    // Counted once: a count reads all rows.
    const { replies, bytes } = sql
      .exec<{ replies: number; bytes: number }>(
        'SELECT count(*) AS replies, coalesce(sum(length(body) + length(headers)), 0) AS bytes FROM replies',
      )
      .one();
    this.#replies = replies;
    this.#bytes = bytes;
  }

  get isEmpty(): boolean {
    return this.#replies === 0;
  }

  /** To be called when all of the storage has been deleted. */
  forget(): void {
    this.#hasTable = false;
  }

  find(key: string, now: number): StoredReply | null {
    if (!this.#hasTable) return null;
    const [row] = this.#sql
      .exec<Row>(
        'SELECT head, body_digest, status, headers, body FROM replies WHERE key = ? AND expires_at > ?',
        key,
        now,
      )
      .toArray();
    if (row === undefined) return null;
    return {
      fingerprint: { head: row.head, body: row.body_digest },
      head: { status: row.status, headers: JSON.parse(row.headers) },
      body: new Uint8Array(row.body),
    };
  }

  /** Milliseconds until there is room for another reply; 0 where there is. */
  msUntilRoom(now: number): number {
    const hasRoom = this.#replies < this.#bounds.replies && this.#bytes < this.#bounds.bytes;
    if (hasRoom || this.deleteExpired(now) > 0) return 0;
    return Math.max(1, (this.nextEnd() ?? now) - now);
  }

  put(
    key: string,
    fingerprint: { head: string; body: string },
    { status, headers }: ReplyHead,
    body: Uint8Array<ArrayBuffer>,
    now: number,
  ): void {
    const text = JSON.stringify(headers);
    this.#makeTable();
    // One that is too old to be found may still be there.
    this.deleteExpired(now);
    this.#sql.exec(
      'INSERT INTO replies VALUES (?, ?, ?, ?, ?, ?, ?)',
      key,
      now + DAY_MS,
      fingerprint.head,
      fingerprint.body,
      status,
      text,
      body,
    );
    this.#replies++;
    this.#bytes += body.byteLength + text.length;
  }

  /** When the next reply is to be deleted, milliseconds since the epoch; null where there is none. */
  nextEnd(): number | null {
    if (!this.#hasTable) return null;
    return this.#sql
      .exec<{ end: number | null }>('SELECT min(expires_at) AS end FROM replies')
      .one().end;
  }

  /** @returns how many were deleted */
  deleteExpired(now: number): number {
    if (!this.#hasTable) return 0;
    const deleted = this.#sql
      .exec<{ bytes: number }>(
        'DELETE FROM replies WHERE expires_at <= ? RETURNING length(body) + length(headers) AS bytes',
        now,
      )
      .toArray();
    this.#replies -= deleted.length;
    this.#bytes -= deleted.reduce((sum, { bytes }) => sum + bytes, 0);
    return deleted.length;
  }

  #makeTable(): void {
    if (this.#hasTable) return;
    this.#sql.exec(`CREATE TABLE replies (
      key TEXT PRIMARY KEY, expires_at INTEGER NOT NULL, head TEXT NOT NULL, body_digest TEXT NOT NULL,
      status INTEGER NOT NULL, headers TEXT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
      CREATE INDEX by_end ON replies (expires_at);`);
    this.#hasTable = true;
  }
}
