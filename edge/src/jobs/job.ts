/** The Durable Object of one job: reads its input, starts its parts, hears how far they are, and says what has become of it. */
import { DurableObject } from 'cloudflare:workers';
import type { Dependencies } from '../dependencies.ts';
import type { Env } from '../platform.ts';
import type { Outcome } from '../predictions/contract.ts';
import { Alarm } from './alarm.ts';
import { noteTokens } from './charge-items.ts';
import {
  ENDED,
  ID_PREFIXES,
  type JobObject,
  type JobOrder,
  type JobSnapshot,
  type JobState,
  type JobWebhook,
  jobPrefix,
  type Outbox,
  type PartFate,
  type PartReport,
  type ReportingJob,
  type ResultState,
  type WebhookDelivery,
} from './contract.ts';
import { deleteAll } from './delete-all.ts';
import { deleteItems, isUnread } from './delete-items.ts';
import { JobParts, SILENT_MS } from './job-parts.ts';
import { JobReader } from './job-reader.ts';
import { snapshotOf } from './job-snapshot.ts';
import { JobTable, type JobTime } from './job-table.ts';
import { Rate } from './rate.ts';
import { readingPlaces } from './reading-places.ts';

const TIME_OF: Partial<Record<JobState, JobTime>> = {
  completed: 'completedAt',
  failed: 'failedAt',
  cancelled: 'cancelledAt',
  expired: 'expiredAt',
};

export abstract class JobBase extends DurableObject<Env> implements JobObject, ReportingJob {
  readonly #table: JobTable;
  readonly #alarm: Alarm;
  readonly #rate = new Rate();
  #reader: JobReader | undefined;
  #deps: Dependencies | undefined;
  #outbox: Outbox | null | undefined;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#table = new JobTable(ctx.storage);
    this.#alarm = new Alarm(ctx.storage, () => Date.now());
  }

  protected abstract dependencies(): Dependencies;
  /** What sends its events; null sends none. */
  protected abstract outbox(storage: DurableObjectStorage, deps: Dependencies): Outbox | null;

  async create(id: string, order: JobOrder): Promise<Outcome<JobSnapshot>> {
    if (this.#table.record === null) {
      this.#table.begin({
        id,
        order,
        state: 'validating',
        cursor: { offset: 0, line: 0, items: 0 },
        times: { createdAt: Date.now() },
      });
      this.#out()?.create(order.webhook);
    }
    await this.#alarm.wake(Date.now());
    return { value: this.#snapshot() };
  }

  async snapshot(id: string): Promise<JobSnapshot | null> {
    const { record } = this.#table;
    if (record === null || record.id !== id || record.isPurged) return null;
    if (!ENDED.has(record.state)) await this.#alarm.wake(Date.now() + SILENT_MS);
    return this.#snapshot();
  }

  async cancel(id: string): Promise<JobSnapshot | null> {
    const { record } = this.#table;
    if (record === null || record.id !== id) return null;
    const { state } = record;
    if (!ENDED.has(state) && state !== 'cancelling') {
      const now = Date.now();
      readingPlaces.forget(id);
      this.#table.enter('cancelling', 'cancellingAt', now);
      await this.#alarm.wake(now);
    }
    return this.#snapshot();
  }

  async forget(id: string): Promise<boolean> {
    const { record } = this.#table;
    if (record === null || record.id !== id) return true;
    if (!ENDED.has(record.state)) return false;
    await this.#deleteItems();
    this.#table.forget();
    await this.ctx.storage.deleteAlarm();
    await this.ctx.storage.deleteAll();
    return true;
  }

  async purge(id: string): Promise<boolean> {
    const { record } = this.#table;
    if (record === null || record.id !== id) return true;
    if (!ENDED.has(record.state)) return false;
    this.#table.update({ isPurged: true });
    await this.#alarm.wake(Date.now());
    return true;
  }

  async deleteResults(id: string, which: ResultState): Promise<void> {
    const { record } = this.#table;
    if (record === null || record.id !== id || !ENDED.has(record.state)) return;
    this.#table.update({ deleted: [...new Set([...(record.deleted ?? []), which])] });
    await this.#alarm.wake(Date.now());
  }

  async webhook(id: string): Promise<JobWebhook | null> {
    const { record } = this.#table;
    return record?.id === id ? (record.order.webhook ?? null) : null;
  }

  async deliveries(id: string): Promise<WebhookDelivery[]> {
    const isThis = this.#table.record?.id === id;
    return isThis ? (this.#out()?.log() ?? []) : [];
  }

  async report(report: PartReport): Promise<PartFate> {
    const { record } = this.#table;
    if (record === null) return 'gone';
    const now = Date.now();
    this.#table.hear(report, now);
    if (this.#rate.isDue(now)) {
      const { completed, failed, canceled } = this.#table.totals();
      this.#rate.add(now, completed + failed + canceled);
    }
    if (report.isClosed && !(await this.#endNow(now))) await this.#alarm.wake(now);
    return this.#fate();
  }

  /** Ends a job that waits for nothing any more, without another alarm. @returns whether it has ended */
  async #endNow(now: number): Promise<boolean> {
    const { record } = this.#table;
    if (record === null || this.#alarm.isWorking || record.order.webhook !== undefined)
      return false;
    const { parts, closed } = this.#table.totals();
    if (closed < parts) return false;
    noteTokens(this.#dependencies(), this.#table, (work) => this.ctx.waitUntil(work));
    this.#settle(now);
    await this.ctx.storage.deleteAlarm();
    return true;
  }

  override async alarm(): Promise<void> {
    const { record } = this.#table;
    if (record === null) return;
    await this.#alarm.run(`job-${record.id.slice(0, 32)}`, async () => {
      if (record.isPurged) {
        await this.forget(record.id);
        return null;
      }
      if (isUnread(this.#table)) await this.#deleteItems();
      const next = await this.#work();
      const outbox = this.#out();
      await outbox?.deliver();
      const times = [next, outbox?.nextAt() ?? null].filter((time) => time !== null);
      return times.length > 0 ? Math.min(...times) : null;
    });
  }

  /** @returns when there is more to do */
  async #work(): Promise<number | null> {
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
    const fate = this.#fate();
    const parts = this.#parts();
    if (fate === 'runs') await parts.start();
    else if (fate !== 'gone') await parts.end(fate);
    await parts.askSilent(now);
    noteTokens(this.#dependencies(), this.#table, (work) => this.ctx.waitUntil(work));
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
    const isRunning = this.#fate() === 'runs';
    if (this.#parts().hasMore(isRunning)) return now;
    return isRunning ? Math.min(record.order.expiresAt, now + SILENT_MS) : now + SILENT_MS;
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
    await deleteAll(this.#bucket(), jobPrefix(record.order.owner, record.id));
    return null;
  }

  async #deleteItems(): Promise<void> {
    await deleteItems(this.#table, this.#bucket(), this.#parts());
  }

  #fate(): PartFate {
    const { record } = this.#table;
    if (record === null) return 'gone';
    if (record.state === 'cancelling' || record.state === 'cancelled') return 'canceled';
    return Date.now() >= record.order.expiresAt || record.state === 'expired' ? 'expired' : 'runs';
  }

  #end(state: 'completed' | 'failed' | 'cancelled' | 'expired'): void {
    this.#reader = undefined;
    const { record } = this.#table;
    if (record !== null) readingPlaces.forget(record.id);
    const time = TIME_OF[state];
    if (time === undefined) return;
    this.#table.enter(state, time, Date.now());
    this.#event(state);
  }

  #event(state: JobState): void {
    const { record } = this.#table;
    if (record === null) return;
    const { kind } = record.order;
    this.#out()?.add(`${kind}.${state}`, `${ID_PREFIXES[kind]}${record.id}`);
  }

  #snapshot(): JobSnapshot {
    return snapshotOf(this.#table, this.#rate.perSecond(Date.now()));
  }

  #parts(): JobParts {
    const { JOB_PARTS: objects } = this.env;
    if (objects === undefined) throw new Error('JOB_PARTS is not bound');
    return new JobParts(this.#table, objects, this.#dependencies().config);
  }

  #reading(): JobReader {
    this.#reader ??= new JobReader({
      table: this.#table,
      bucket: this.#bucket(),
      deps: this.#dependencies(),
      waitUntil: (work) => this.ctx.waitUntil(work),
    });
    return this.#reader;
  }

  #bucket(): R2Bucket {
    const { JOB_FILES: bucket } = this.env;
    if (bucket === undefined) throw new Error('JOB_FILES is not bound');
    return bucket;
  }

  #dependencies(): Dependencies {
    this.#deps ??= this.dependencies();
    return this.#deps;
  }

  /** Null where it has no webhook, too: three tables are a third of the work of a small job. */
  #out(): Outbox | null {
    if (this.#table.record?.order.webhook === undefined) return null;
    if (this.#outbox !== undefined) return this.#outbox;
    this.#outbox = this.outbox(this.ctx.storage, this.#dependencies());
    return this.#outbox;
  }
}
