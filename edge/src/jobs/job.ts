/** The Durable Object of one job: hears its owner and its parts, has its work go on in alarms, and says what has become of it. */
import { DurableObject } from 'cloudflare:workers';
import type { Dependencies } from '../dependencies.ts';
import type { Env } from '../platform.ts';
import type { Outcome } from '../predictions/contract.ts';
import { Alarm } from './alarm.ts';
import {
  ENDED,
  type JobObject,
  type JobOrder,
  type JobSnapshot,
  type JobWebhook,
  type Outbox,
  type PartFate,
  type PartReport,
  type ReportingJob,
  type ResultState,
  type WebhookDelivery,
} from './contract.ts';
import { deleteItems, isUnread } from './delete-items.ts';
import { createdLate } from './job-errors.ts';
import { fateOf } from './job-fate.ts';
import { CREATION_MS } from './job-index-contract.ts';
import { SILENT_MS } from './job-parts.ts';
import { JobServices } from './job-services.ts';
import { snapshotOf } from './job-snapshot.ts';
import { JobTable } from './job-table.ts';
import { JobWork } from './job-work.ts';
import { noteResults } from './note-results.ts';
import { Rate } from './rate.ts';
import { readingPlaces } from './reading-places.ts';

/** When the object of its owner could not be asked. */
const NOTE_AGAIN_MS = 60_000;

export abstract class JobBase extends DurableObject<Env> implements JobObject, ReportingJob {
  readonly #table: JobTable;
  readonly #alarm: Alarm;
  readonly #rate = new Rate();
  readonly #services: JobServices;
  readonly #work: JobWork;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#table = new JobTable(ctx.storage);
    this.#alarm = new Alarm(ctx.storage, () => Date.now());
    this.#services = new JobServices({
      table: this.#table,
      env,
      createDependencies: () => this.dependencies(),
      createOutbox: (deps) => this.outbox(ctx.storage, deps),
      waitUntil: (work) => ctx.waitUntil(work),
    });
    this.#work = new JobWork(this.#table, this.#services);
  }

  protected abstract dependencies(): Dependencies;
  /** What sends its events; null sends none. */
  protected abstract outbox(storage: DurableObjectStorage, deps: Dependencies): Outbox | null;

  async create(id: string, order: JobOrder, sentAt: number): Promise<Outcome<JobSnapshot>> {
    if (this.#table.record === null) {
      if (Date.now() >= sentAt + CREATION_MS) return { problem: createdLate().toProblem() };
      this.#table.begin({
        id,
        order,
        state: 'validating',
        cursor: { offset: 0, line: 0, items: 0 },
        times: { createdAt: Date.now() },
      });
      this.#services.outbox?.create(order.webhook);
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
    await this.#deleteRecord();
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
    return isThis ? (this.#services.outbox?.log() ?? []) : [];
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
    // One that has ended may have an alarm already, by whoever deletes it.
    const isLast = report.isClosed && !ENDED.has(record.state);
    if (isLast && !(await this.#endNow(now))) await this.#alarm.wake(now);
    return fateOf(this.#table.record, Date.now());
  }

  /** Without another alarm, where it may. @returns whether it has ended */
  async #endNow(now: number): Promise<boolean> {
    if (this.#alarm.isWorking || !this.#work.endIfClosed(now)) return false;
    // First: it says its results again where this object is gone before it has.
    const later = now + NOTE_AGAIN_MS;
    await this.ctx.storage.setAlarm(later);
    const isNoted = await noteResults(this.#table, this.#services.index);
    // Another may be set meanwhile, by whoever deletes it.
    if (isNoted && (await this.ctx.storage.getAlarm()) === later) {
      await this.ctx.storage.deleteAlarm();
    }
    return true;
  }

  override async alarm(): Promise<void> {
    const { record } = this.#table;
    if (record === null) return;
    await this.#alarm.run(`job-${record.id.slice(0, 32)}`, async () => {
      if (record.isPurged) {
        await this.#deleteItems();
        // It counts until nothing is left; where this fails, all of it is done again.
        await this.#services.index?.removeJob(record.id);
        await this.#deleteRecord();
        return null;
      }
      if (isUnread(this.#table)) await this.#deleteItems();
      const next = await this.#work.step();
      const { outbox } = this.#services;
      await outbox?.deliver();
      const isNoted = await noteResults(this.#table, this.#services.index);
      const noteAt = isNoted ? null : Date.now() + NOTE_AGAIN_MS;
      const times = [next, outbox?.nextAt() ?? null, noteAt].filter((time) => time !== null);
      return times.length > 0 ? Math.min(...times) : null;
    });
  }

  async #deleteItems(): Promise<void> {
    await deleteItems(this.#table, this.#services.bucket, this.#services.parts);
  }

  async #deleteRecord(): Promise<void> {
    this.#table.forget();
    await this.ctx.storage.deleteAlarm();
    await this.ctx.storage.deleteAll();
  }

  #snapshot(): JobSnapshot {
    return snapshotOf(this.#table, this.#rate.perSecond(Date.now()));
  }
}
