/**
 * Finished replies by key, in the SQLite of a Durable Object, for 24 hours. Where there is no room for the next one, the
 * oldest goes, and its key stays: whoever sends it again learns that the work was done.
 */
import type { ImagePath } from '@blip2/shared/cache-key';
import type { ReplyHead } from './running-reply.ts';

const DAY_MS = 86_400_000;
/** No key is forgotten sooner: clients that send again do so within it. */
const MIN_KNOWN_MS = 600_000;
/** What is freed at a time, of a bound: making room reads many rows. */
const FREED = 1 / 8;
/** Bytes of a body. Replies up to this, and larger ones, have half of the room each: many of one kind push out none of the other. */
const SMALL = 2 ** 14;

/** What tells requests apart: digests of what a request says beside its body, and of its body. */
export type Fingerprint = { head: string; body: string };

/** Images of which a reply says something, and since when they may be known, milliseconds since the epoch. */
export type ReadImages = readonly (readonly [ImagePath, number])[];

/** What a reply says something of. It is replayed as long as all of that is there. */
export type Subject = {
  images: ReadImages;
  /** Id of what it hands out to be asked for later: a file, a job, a prediction. */
  named: string | null;
};

export type StoredReply = {
  fingerprint: Fingerprint;
  head: ReplyHead;
  /** Null where others needed its room. */
  body: Uint8Array<ArrayBuffer> | null;
  subject: Subject;
};

/** How much one object stores: one of the sixteen that a caller has. */
export type Bounds = { keys: number; bytes: number };

type Row = {
  head: string;
  body_digest: string;
  status: number;
  headers: string;
  body: ArrayBuffer;
  images: string;
  named: string | null;
  dropped: number;
};

type Size = 'small' | 'large';
const sizeOf = (body: number): Size => (body > SMALL ? 'large' : 'small');

export class StoredReplies {
  readonly #sql: SqlStorage;
  readonly #bounds: Bounds;
  /** Made with the first reply: an object that never stored one takes no room. */
  #hasTable: boolean;
  #keys = 0;
  /** Of the keys: those of requests that were wrong. */
  #errors = 0;
  readonly #bytes = { small: 0, large: 0 };

  constructor(sql: SqlStorage, bounds: Bounds) {
    this.#sql = sql;
    this.#bounds = bounds;
    const named = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'replies'";
    this.#hasTable = sql.exec(named).toArray().length > 0;
    if (!this.#hasTable) return;
    this.#addColumn('images', "TEXT NOT NULL DEFAULT '[]'");
    this.#addColumn('named', 'TEXT');
    this.#addColumn('dropped', 'INTEGER NOT NULL DEFAULT 0');
    // Counted once: a count reads all rows.
    const { keys, errors, small, large } = sql
      .exec<{ keys: number; errors: number; small: number; large: number }>(
        `SELECT count(*) AS keys, count(*) FILTER (WHERE status >= 400) AS errors,
          coalesce(sum(length(body) + length(headers)) FILTER (WHERE length(body) <= ${SMALL}), 0) AS small,
          coalesce(sum(length(body) + length(headers)) FILTER (WHERE length(body) > ${SMALL}), 0) AS large
          FROM replies`,
      )
      .one();
    this.#keys = keys;
    this.#errors = errors;
    this.#bytes.small = small;
    this.#bytes.large = large;
  }

  get isEmpty(): boolean {
    return this.#keys === 0;
  }

  /** To be called when all of the storage has been deleted. */
  forget(): void {
    this.#hasTable = false;
  }

  find(key: string, now: number): StoredReply | null {
    if (!this.#hasTable) return null;
    const [row] = this.#sql
      .exec<Row>(
        'SELECT head, body_digest, status, headers, body, images, named, dropped FROM replies WHERE key = ? AND expires_at > ?',
        key,
        now,
      )
      .toArray();
    if (row === undefined) return null;
    return {
      fingerprint: { head: row.head, body: row.body_digest },
      head: { status: row.status, headers: row.dropped ? [] : JSON.parse(row.headers) },
      body: row.dropped ? null : new Uint8Array(row.body),
      subject: { images: JSON.parse(row.images), named: row.named },
    };
  }

  /**
   * Milliseconds until there is room for another key; 0 where there is, or where some could be forgotten: first those of requests
   * that were wrong, which do nothing when they run again, then the oldest.
   */
  msUntilRoom(now: number): number {
    const { keys } = this.#bounds;
    if (this.#keys < keys || this.deleteExpired(now) > 0) return 0;
    const most = Math.ceil(keys * FREED);
    const oldest = 'key IN (SELECT key FROM replies WHERE';
    const first = 'ORDER BY expires_at LIMIT ?)';
    if (this.#errors > 0 && this.#delete(`${oldest} status >= 400 ${first}`, most) > 0) return 0;
    const known = now + DAY_MS - MIN_KNOWN_MS;
    if (this.#delete(`${oldest} expires_at <= ? ${first}`, known, most) > 0) return 0;
    return Math.max(1, (this.nextEnd() ?? now) - known);
  }

  put(
    key: string,
    fingerprint: Fingerprint,
    { status, headers }: ReplyHead,
    body: Uint8Array<ArrayBuffer>,
    { images, named }: Subject,
    now: number,
  ): void {
    const text = JSON.stringify(headers);
    this.#makeTable();
    // One that is too old to be found may still be there.
    this.deleteExpired(now);
    const bytes = body.byteLength + text.length;
    const size = sizeOf(body.byteLength);
    this.#makeRoom(size, bytes);
    this.#sql.exec(
      'INSERT INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)',
      key,
      now + DAY_MS,
      fingerprint.head,
      fingerprint.body,
      status,
      text,
      body,
      JSON.stringify(images),
      named,
    );
    this.#keys++;
    if (status >= 400) this.#errors++;
    this.#bytes[size] += bytes;
  }

  /** Drops the oldest replies of a size until one of so many bytes has room beside them. */
  #makeRoom(size: Size, bytes: number): void {
    const room = this.#bounds.bytes / 2;
    if (this.#bytes[size] + bytes <= room) return;
    const least = this.#bytes[size] + bytes - (1 - FREED) * room;
    const rows = this.#sql.exec<{ key: string; bytes: number }>(
      `SELECT key, length(body) + length(headers) AS bytes FROM replies
        WHERE dropped = 0 AND length(body) ${size === 'small' ? '<=' : '>'} ? ORDER BY expires_at`,
      SMALL,
    );
    const keys: string[] = [];
    let freed = 0;
    for (const row of rows) {
      keys.push(row.key);
      freed += row.bytes;
      if (freed >= least) break;
    }
    // Not while they are read.
    for (const key of keys) {
      this.#sql.exec("UPDATE replies SET body = x'', headers = '', dropped = 1 WHERE key = ?", key);
    }
    this.#bytes[size] -= freed;
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
    return this.#hasTable ? this.#delete('expires_at <= ?', now) : 0;
  }

  /** Unless another reply has taken its place. */
  delete(key: string, { images, named }: Subject): void {
    if (!this.#hasTable) return;
    this.#delete('key = ? AND images = ? AND named IS ?', key, JSON.stringify(images), named);
  }

  #delete(which: string, ...values: (string | number | null)[]): number {
    const deleted = this.#sql
      .exec<{ body: number; headers: number; status: number }>(
        `DELETE FROM replies WHERE ${which} RETURNING length(body) AS body, length(headers) AS headers, status`,
        ...values,
      )
      .toArray();
    for (const { body, headers, status } of deleted) {
      this.#keys--;
      if (status >= 400) this.#errors--;
      this.#bytes[sizeOf(body)] -= body + headers;
    }
    return deleted.length;
  }

  /** To a table of a version that did not store it. */
  #addColumn(name: string, type: string): void {
    const has = this.#sql.exec("SELECT 1 FROM pragma_table_info('replies') WHERE name = ?", name);
    if (has.toArray().length === 0)
      this.#sql.exec(`ALTER TABLE replies ADD COLUMN ${name} ${type}`);
  }

  #makeTable(): void {
    if (this.#hasTable) return;
    this.#sql.exec(`CREATE TABLE replies (
      key TEXT PRIMARY KEY, expires_at INTEGER NOT NULL, head TEXT NOT NULL, body_digest TEXT NOT NULL,
      status INTEGER NOT NULL, headers TEXT NOT NULL, body BLOB NOT NULL, images TEXT NOT NULL,
      named TEXT, dropped INTEGER NOT NULL) WITHOUT ROWID;
      CREATE INDEX by_end ON replies (expires_at);`);
    this.#hasTable = true;
  }
}
