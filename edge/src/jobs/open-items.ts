/** The items of a part that wait for a GPU worker, in its object's SQLite: what is to be done for each, and how often it was tried. */
import type { ItemWork } from './item-source.ts';

/** An item that waits for a GPU worker. */
export type OpenItem = {
  item: number;
  /** `BatchLine` as JSON. */
  line: string;
  work: ItemWork;
  /** When it was read or its message sent again, milliseconds since the epoch; 0 where it is to be sent now. */
  sentAt: number;
  sends: number;
  /** How often a GPU worker began to run it alone. */
  begun: number;
  /** How often its message was given up, and sent once more. */
  returns: number;
};

/** As it is put into the queue: without its line, which may be long. */
export type WaitingItem = Omit<OpenItem, 'line'>;

/** How many items at a time, and bytes of what is read of them: one item at least. */
type Amount = { items: number; bytes: number };

/** @property isCut whether there are more */
type Some<Item> = { items: Item[]; isCut: boolean };

type Row = {
  i: number;
  line?: string;
  work: string;
  sent_at: number;
  sends: number;
  begun: number;
  returns: number;
};

/** After how long an item is sent again, of the first time's milliseconds: each time twice as long. */
const DELAY = '? * (1 << MIN(MAX(sends - 1, 0), 10))';

export class OpenItems {
  readonly #sql: SqlStorage;

  constructor({ sql }: DurableObjectStorage) {
    this.#sql = sql;
  }

  create(): void {
    this.#sql.exec(
      `CREATE TABLE open (i INTEGER PRIMARY KEY, line TEXT, work TEXT, sent_at INTEGER, sends INTEGER,
        begun INTEGER, returns INTEGER)`,
    );
  }

  drop(): void {
    this.#sql.exec('DROP TABLE open');
  }

  add({ item, line, work }: Pick<OpenItem, 'item' | 'line' | 'work'>, now: number): void {
    this.#sql.exec(
      'INSERT INTO open VALUES (?, ?, ?, ?, 1, 0, 0)',
      ...[item, line, JSON.stringify(work), now],
    );
  }

  delete(item: number): void {
    this.#sql.exec('DELETE FROM open WHERE i = ?', item);
  }

  find(item: number): OpenItem | null {
    const [row] = this.#sql.exec<Row>('SELECT * FROM open WHERE i = ?', item).toArray();
    return row === undefined ? null : { ...waitingItemOf(row), line: row.line ?? '' };
  }

  /** The first of them and their lines. */
  first(amount: Amount): Some<Pick<OpenItem, 'item' | 'line'>> {
    return this.#some<Pick<OpenItem, 'item' | 'line'>>(
      { column: 'line', read: 'i AS item, line', where: 'TRUE' },
      amount,
      [],
    );
  }

  count(): number {
    return this.#sql.exec<{ n: number }>('SELECT COUNT(*) AS n FROM open').one().n;
  }

  /**
   * Items whose messages are to be sent: those that never were, or so long ago that they may be lost.
   * @param sentTo all before this item were sent once
   * @param from the item to begin with
   */
  unsent(
    {
      sentTo,
      from,
      now,
      resendMs,
    }: { sentTo: number; from: number; now: number; resendMs: number },
    amount: Amount,
  ): Some<WaitingItem> {
    const { items, isCut } = this.#some<Row>(
      {
        column: 'work',
        read: 'i, work, sent_at, sends, begun, returns',
        where: `i >= ? AND (i >= ? OR sent_at + ${DELAY} <= ?)`,
      },
      amount,
      [from, sentTo, resendMs, now],
    );
    return { items: items.map(waitingItemOf), isCut };
  }

  /** When the next message counts as lost; null where none is under way. */
  resendAt(resendMs: number): number | null {
    const sql = `SELECT MIN(sent_at + ${DELAY}) AS at FROM open`;
    return this.#sql.exec<{ at: number | null }>(sql, resendMs).one().at;
  }

  /** Its message was sent again. */
  markSent(item: number, now: number): void {
    this.#sql.exec('UPDATE open SET sent_at = ?, sends = sends + 1 WHERE i = ?', now, item);
  }

  markUnsent(item: number): void {
    this.#sql.exec('UPDATE open SET sent_at = 0, sends = 1 WHERE i = ?', item);
  }

  /** A GPU worker begins to run it alone. */
  begin(item: number): void {
    this.#sql.exec('UPDATE open SET begun = begun + 1 WHERE i = ?', item);
  }

  /** Its message was given up: another is to be sent. */
  return(item: number): void {
    this.#sql.exec(
      'UPDATE open SET sent_at = 0, sends = 1, returns = returns + 1 WHERE i = ?',
      item,
    );
  }

  /** What is to be done for an item is another than before. */
  replaceWork(item: number, work: ItemWork): void {
    this.#sql.exec('UPDATE open SET work = ? WHERE i = ?', JSON.stringify(work), item);
  }

  /** The first rows of a condition. SQLite knows how long a text is without reading it. */
  #some<Read extends Record<string, SqlStorageValue>>(
    { column, read, where }: { column: string; read: string; where: string },
    { items, bytes }: Amount,
    values: number[],
  ): Some<Read> {
    const lengths = this.#sql
      .exec<{ bytes: number }>(
        `SELECT octet_length(${column}) AS bytes FROM open WHERE ${where} ORDER BY i LIMIT ?`,
        ...[...values, items + 1],
      )
      .toArray();
    let [count, sum] = [0, 0];
    for (const row of lengths) {
      sum += row.bytes;
      if (count === items || (count > 0 && sum > bytes)) break;
      count++;
    }
    const rows = this.#sql
      .exec<Read>(`SELECT ${read} FROM open WHERE ${where} ORDER BY i LIMIT ?`, ...values, count)
      .toArray();
    return { items: rows, isCut: count < lengths.length };
  }
}

function waitingItemOf({ i, sent_at, work, sends, begun, returns }: Row): WaitingItem {
  return { item: i, work: JSON.parse(work), sentAt: sent_at, sends, begun, returns };
}
