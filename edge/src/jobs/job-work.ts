/** What a job does by itself, from alarm to alarm: reads its input, has its parts run or end, and ends when they have. */
import { noteTokens } from './charge-items.ts';
import { ENDED, ID_PREFIXES, type JobState, jobPrefix } from './contract.ts';
import { deleteAll } from './delete-all.ts';
import { fateOf } from './job-fate.ts';
import { SILENT_MS } from './job-parts.ts';
import { JobReader } from './job-reader.ts';
import type { JobServices } from './job-services.ts';
import type { JobTable, JobTime } from './job-table.ts';
import { readingPlaces } from './reading-places.ts';

type EndState = Extract<JobState, 'completed' | 'failed' | 'cancelled' | 'expired'>;

const TIME_OF: Record<EndState, JobTime> = {
  completed: 'completedAt',
  failed: 'failedAt',
  cancelled: 'cancelledAt',
  expired: 'expiredAt',
};

export class JobWork {
  readonly #table: JobTable;
  readonly #services: JobServices;
  #reader: JobReader | undefined;

  constructor(table: JobTable, services: JobServices) {
    this.#table = table;
    this.#services = services;
  }

  /** Does what is next. @returns when there is more to do */
  async step(): Promise<number | null> {
    const { record } = this.#table;
    if (record === null || ENDED.has(record.state)) return null;
    const now = Date.now();
    const isOver = now >= record.order.expiresAt;
    if (record.state === 'validating') {
      if (isOver) {
        this.#end('expired');
        return null;
      }
      const next = await this.#read();
      // Its parts start in the same alarm: each costs some commits.
      if (this.#table.record?.state !== 'in_progress') return next;
    }
    return await this.#run();
  }

  /** Ends a job that waits for nothing any more: neither for a part nor for its webhook. @returns whether it has ended */
  endIfClosed(now: number): boolean {
    const { record } = this.#table;
    if (record === null || record.order.webhook !== undefined) return false;
    const { parts, closed } = this.#table.totals();
    if (closed < parts) return false;
    this.#noteTokens();
    this.#settle(now);
    return true;
  }

  /** @returns when there is more to do */
  async #read(): Promise<number | null> {
    const reading = await this.#reading().read();
    const { record } = this.#table;
    if (record === null) return null;
    const now = Date.now();
    if (reading === 'ready') {
      this.#table.enter('in_progress', 'inProgressAt', now);
      this.#event('in_progress');
    }
    // What it remembers of images is needed no more.
    if (reading === 'ready' || reading === 'over') this.#reader = undefined;
    if (typeof reading === 'object') return now + reading.laterMs;
    if (reading !== 'failed') return now;
    this.#end('failed');
    await deleteAll(this.#services.bucket, jobPrefix(record.order.owner, record.id));
    return null;
  }

  /** @returns when there is more to do */
  async #run(): Promise<number | null> {
    const { record } = this.#table;
    if (record === null) return null;
    const now = Date.now();
    // Nothing was started of what was canceled while it was read.
    const isUnread = record.times.inProgressAt === undefined;
    if (isUnread) {
      this.#end('cancelled');
      return null;
    }
    const fate = fateOf(record, Date.now());
    const { parts } = this.#services;
    if (fate === 'runs') await parts.start();
    else if (fate !== 'gone') await parts.end(fate);
    await parts.askSilent(now);
    this.#noteTokens();
    return this.#settle(now);
  }

  /** Ends the job when all of its parts have. @returns when there is more to do */
  #settle(now: number): number | null {
    const { record } = this.#table;
    if (record === null || ENDED.has(record.state)) return null;
    const { parts, closed, total, completed, failed, canceled } = this.#table.totals();
    if (closed === parts) {
      const isExpired = record.state !== 'cancelling' && canceled > 0;
      const end = record.state === 'cancelling' ? 'cancelled' : 'completed';
      this.#end(isExpired ? 'expired' : end);
      return null;
    }
    const isDone = completed + failed + canceled >= total;
    if (isDone && record.state === 'in_progress') {
      this.#table.enter('finalizing', 'finalizingAt', now);
    }
    const isRunning = fateOf(this.#table.record, Date.now()) === 'runs';
    if (this.#services.parts.hasMore(isRunning)) return now;
    return isRunning ? Math.min(record.order.expiresAt, now + SILENT_MS) : now + SILENT_MS;
  }

  #end(state: EndState): void {
    this.#reader = undefined;
    const { record } = this.#table;
    if (record !== null) readingPlaces.forget(record.id);
    this.#table.enter(state, TIME_OF[state], Date.now());
    this.#event(state);
  }

  #event(state: JobState): void {
    const { record } = this.#table;
    if (record === null) return;
    const { kind } = record.order;
    this.#services.outbox?.add(`${kind}.${state}`, `${ID_PREFIXES[kind]}${record.id}`);
  }

  #noteTokens(): void {
    const { deps, waitUntil } = this.#services;
    noteTokens(deps, this.#table, waitUntil);
  }

  #reading(): JobReader {
    if (this.#reader !== undefined) return this.#reader;
    const { bucket, deps, waitUntil } = this.#services;
    this.#reader = new JobReader({ table: this.#table, bucket, deps, waitUntil });
    return this.#reader;
  }
}
