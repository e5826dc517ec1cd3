/** The results of a part in its object's SQLite. Lines have from a hundred bytes to a megabyte: what is read or deleted in one go is so many bytes of them. */

/** How much at a time, one line at least. */
export type Amount = { lines: number; bytes: number };

/** @property isCut whether there are more */
export type SomeResults = { rows: { item: number; line: string }[]; isCut: boolean };

/** Lines whose lengths are looked at together: SQLite knows them without reading the lines. */
const LENGTHS = 64;

export class ResultRows {
  readonly #sql: SqlStorage;

  constructor({ sql }: DurableObjectStorage) {
    this.#sql = sql;
  }

  create(): void {
    this.#sql.exec('CREATE TABLE result (i INTEGER PRIMARY KEY, outcome TEXT, line TEXT)');
  }

  /** @returns bytes of its line, with its end; null where the item has a result already, which stays */
  insert({ item, outcome, line }: { item: number; outcome: string; line: string }): number | null {
    const [row] = this.#sql
      .exec<{ bytes: number }>(
        'INSERT INTO result VALUES (?, ?, ?) ON CONFLICT (i) DO NOTHING RETURNING octet_length(line) + 1 AS bytes',
        ...[item, outcome, line],
      )
      .toArray();
    return row?.bytes ?? null;
  }

  /** In the order of their items, from one on. */
  some(from: number, amount: Amount): SomeResults {
    const { last, isCut } = this.#span(from, amount);
    if (last === null) return { rows: [], isCut };
    const rows = this.#sql
      .exec<{ item: number; line: string }>(
        'SELECT i AS item, line FROM result WHERE i BETWEEN ? AND ? ORDER BY i',
        ...[from, last],
      )
      .toArray();
    return { rows, isCut };
  }

  /** All of them, each with the end of its line. */
  bytes(): number {
    const sql = 'SELECT COALESCE(SUM(octet_length(line) + 1), 0) AS n FROM result';
    return this.#sql.exec<{ n: number }>(sql).one().n;
  }

  isThere(): boolean {
    const sql = "SELECT 1 FROM sqlite_master WHERE name = 'result'";
    return this.#sql.exec(sql).toArray().length > 0;
  }

  /** Deletes the first of them. @returns whether there are more */
  deleteSome(amount: Amount): boolean {
    const { last, isCut } = this.#span(0, amount);
    if (last !== null) this.#sql.exec('DELETE FROM result WHERE i <= ?', last);
    return isCut;
  }

  drop(): void {
    this.#sql.exec('DROP TABLE result');
  }

  /** The last item of so much. */
  #span(from: number, { lines, bytes }: Amount): { last: number | null; isCut: boolean } {
    let last: number | null = null;
    let [count, sum] = [0, 0];
    for (;;) {
      const lengths = this.#sql
        .exec<{ item: number; bytes: number }>(
          'SELECT i AS item, octet_length(line) AS bytes FROM result WHERE i >= ? ORDER BY i LIMIT ?',
          ...[last === null ? from : last + 1, LENGTHS],
        )
        .toArray();
      for (const row of lengths) {
        sum += row.bytes;
        if (count === lines || (count > 0 && sum > bytes)) return { last, isCut: true };
        count++;
        last = row.item;
      }
      if (lengths.length < LENGTHS) return { last, isCut: false };
    }
  }
}
