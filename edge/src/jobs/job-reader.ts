/** Reads the input of a job, a part at a time, until all of its lines are known to be right, and charges for them. */
import type { Dependencies } from '../dependencies.ts';
import { chargeItems, expectItems } from './charge-items.ts';
import { type LineError, MAX_LINE_ERRORS } from './contract.ts';
import { ingestPart } from './ingest.ts';
import { findDuplicates } from './item-ids.ts';
import { duplicateOf, EMPTY, UNREADABLE } from './job-errors.ts';
import type { Cursor, JobTable } from './job-table.ts';
import { readingPlaces } from './reading-places.ts';
import { partItems, resultsTooLarge } from './result-budget.ts';

/** How often in a row the input may fail to be read. */
const MAX_FAILURES = 20;

/**
 * `more`: there is more to read. `laterMs`: others read now, and after so long it may ask again. `ready`: all lines are right, and paid for. `failed`: the job cannot run, and the table says why.
 * `over`: meanwhile it has another state.
 */
export type Reading = 'more' | { laterMs: number } | 'ready' | 'failed' | 'over';

type Parts = {
  table: JobTable;
  bucket: R2Bucket;
  deps: Dependencies;
  waitUntil: (work: Promise<unknown>) => void;
};

export class JobReader {
  readonly #parts: Parts;
  readonly #table: JobTable;
  #failures = 0;
  /** Images of its items that are in the bucket, and those that the bucket has not. */
  readonly #moved = new Set<string>();

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#table = parts.table;
  }

  /** Reads on. @throws Error where the bucket fails, which may be back soon; what fails each time does not let a job wait for ever */
  async read(): Promise<Reading> {
    const { record } = this.#table;
    if (record === null) return 'over';
    const { id, order } = record;
    // A few lines that are in the order itself are little to hold.
    if (order.input.kind === 'lines') return await this.#try(() => {});
    const may = readingPlaces.enter(id, order.owner, Date.now());
    if (may !== true) return { laterMs: may };
    try {
      return await this.#try(() => readingPlaces.stay(id, order.owner, Date.now()));
    } finally {
      readingPlaces.leave(id);
    }
  }

  /** @param goesOn called now and again while it reads */
  async #try(goesOn: () => void): Promise<Reading> {
    try {
      return await this.#read(goesOn);
    } catch (error) {
      const cursor = this.#table.record?.cursor;
      if (++this.#failures < MAX_FAILURES || cursor === undefined) throw error;
      this.#table.addErrors([UNREADABLE], cursor);
      return 'failed';
    }
  }

  async #read(goesOn: () => void): Promise<Reading> {
    const { record } = this.#table;
    if (record === null) return 'over';
    const { bucket, deps } = this.#parts;
    const { id, order, cursor } = record;
    const known = this.#table.errors().length;
    const { parts: part } = this.#table.totals();
    const isFirst = cursor.line === 0 && cursor.items === 0 && order.input.kind !== 'lines';
    if (isFirst && (await this.#isRefused(cursor, 1))) return this.#isOver() ? 'over' : 'failed';
    const jobsPartItems = partItems(order, deps, deps.config.jobsPartItems);
    const config = { ...deps.config, jobsPartItems };
    const found = await ingestPart({ files: bucket, images: deps.jobImages }, config, {
      job: id,
      order,
      cursor,
      part,
      errors: known,
      moved: this.#moved,
      goesOn,
      expect: async (items) => await this.#expect(items),
    });
    this.#failures = 0;
    // It may have been canceled meanwhile.
    if (this.#isOver()) return 'over';
    if (found.errors.length > 0) this.#table.addErrors(found.errors, found.cursor);
    if (found.part !== null) this.#table.addPart(found.part, found.part.ids, found.cursor);
    else this.#table.update({ cursor: found.cursor });
    if (found.isDone) return await this.#allRead(found.cursor.items);
    return known + found.errors.length === 0 ? await this.#readMore(found.cursor) : 'more';
  }

  /** What cannot be paid for is not read to its end. */
  async #readMore(cursor: Cursor): Promise<Reading> {
    const isRefused = await this.#isRefused(cursor, this.#table.totals().total);
    if (this.#isOver()) return 'over';
    return isRefused ? 'failed' : 'more';
  }

  /** Whether so many items cannot be paid for: the table says so then. */
  async #isRefused(cursor: Cursor, items: number): Promise<boolean> {
    const refusal = await this.#expect(items);
    if (refusal === null || this.#isOver()) return refusal !== null;
    this.#table.addErrors([refusal], cursor);
    this.#table.dropRead();
    return true;
  }

  async #expect(items: number): Promise<LineError | null> {
    const { record } = this.#table;
    if (record === null) return null;
    const { deps, waitUntil } = this.#parts;
    return await expectItems(deps, record.order, { job: record.id, items, waitUntil });
  }

  async #allRead(items: number): Promise<Reading> {
    const listed = this.#table.errors().length;
    const errors: LineError[] = items === 0 && listed === 0 ? [EMPTY] : [];
    const { total, parts } = this.#table.totals();
    const blobs = function* (table: JobTable) {
      for (let part = 0; part < parts; part++) {
        // It may have been canceled, and deleted, since the part before.
        if (table.record?.state !== 'validating') return;
        yield table.idsOf(part);
      }
    };
    const room = MAX_LINE_ERRORS - listed;
    if (room > 0) {
      const found = await findDuplicates(total, () => blobs(this.#table), room);
      if (this.#isOver()) return 'over';
      for (const { line, first } of found) {
        errors.push({ line, ...duplicateOf(first, this.#table.record?.order.kind) });
      }
    }
    const refusal = errors.length + listed === 0 ? await this.#charge(total) : null;
    if (refusal !== null) errors.push(refusal);
    const { record } = this.#table;
    if (record === null) return 'over';
    if (errors.length > 0) this.#table.addErrors(errors, record.cursor);
    this.#table.dropRead();
    if (errors.length + listed > 0) return 'failed';
    // It may have been canceled while it was charged for.
    return this.#isOver() ? 'over' : 'ready';
  }

  #isOver(): boolean {
    return this.#table.record?.state !== 'validating';
  }

  async #charge(items: number): Promise<LineError | null> {
    const { record } = this.#table;
    if (record === null) return null;
    const { deps, waitUntil } = this.#parts;
    const tooLarge = resultsTooLarge(record.order, deps, items);
    if (tooLarge !== null) return tooLarge;
    return await chargeItems(deps, record.order, { job: record.id, items, waitUntil });
  }
}
