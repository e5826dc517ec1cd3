/** Finished replies by key, in the SQLite of a Durable Object, for 24 hours. */
import type { ImagePath } from '@blip2/shared/cache-key';
import type { ReplyHead } from './running-reply.ts';

const DAY_MS = 86_400_000;

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
  body: Uint8Array<ArrayBuffer>;
  subject: Subject;
};

/** How much one object stores: one of the sixteen that a caller has. */
export type Bounds = { replies: number; bytes: number };

type Row = {
  head: string;
  body_digest: string;
  status: number;
  headers: string;
  body: ArrayBuffer;
  images: string;
  named: string | null;
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
    this.#addColumn('images', "TEXT NOT NULL DEFAULT '[]'");
    this.#addColumn('named', 'TEXT');
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
        'SELECT head, body_digest, status, headers, body, images, named FROM replies WHERE key = ? AND expires_at > ?',
        key,
        now,
      )
      .toArray();
    if (row === undefined) return null;
    return {
      fingerprint: { head: row.head, body: row.body_digest },
      head: { status: row.status, headers: JSON.parse(row.headers) },
      body: new Uint8Array(row.body),
      subject: { images: JSON.parse(row.images), named: row.named },
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
    this.#sql.exec(
      'INSERT INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
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
    return this.#hasTable ? this.#delete('expires_at <= ?', now) : 0;
  }

  /** Unless another reply has taken its place. */
  delete(key: string, { images, named }: Subject): void {
    if (!this.#hasTable) return;
    this.#delete('key = ? AND images = ? AND named IS ?', key, JSON.stringify(images), named);
  }

  #delete(which: string, ...values: (string | number | null)[]): number {
    const deleted = this.#sql
      .exec<{ bytes: number }>(
        `DELETE FROM replies WHERE ${which} RETURNING length(body) + length(headers) AS bytes`,
        ...values,
      )
      .toArray();
    this.#replies -= deleted.length;
    this.#bytes -= deleted.reduce((sum, { bytes }) => sum + bytes, 0);
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
      named TEXT) WITHOUT ROWID;
      CREATE INDEX by_end ON replies (expires_at);`);
    this.#hasTable = true;
  }
}
