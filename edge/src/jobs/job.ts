/** The Durable Object of one job: reads its input, starts its parts, hears how far they are, and says what has become of it. */
import { DurableObject } from 'cloudflare:workers';
import type { Dependencies } from '../dependencies.ts';
import type { Env } from '../platform.ts';
import type { Outcome } from '../predictions/contract.ts';
import { Alarm } from './alarm.ts';
import { chargeItems, noteTokens } from './charge-items.ts';
import {
  ENDED,
  ID_PREFIXES,
  type JobObject,
  type JobOrder,
  type JobPartObject,
  type JobSnapshot,
  type JobState,
  type JobWebhook,
  jobPrefix,
  type LineError,
  MAX_LINE_ERRORS,
  type Outbox,
  type PartFate,
  type PartOrder,
  type PartReport,
  type ReportingJob,
  type ResultState,
  type WebhookDelivery,
} from './contract.ts';
import { deleteAll } from './delete-all.ts';
import { deleteItems, isUnread } from './delete-items.ts';
import { ingestPart } from './ingest.ts';
import { findDuplicates } from './item-ids.ts';
import { duplicateOf, EMPTY, UNREADABLE } from './job-errors.ts';
import { snapshotOf } from './job-snapshot.ts';
import { type JobRecord, JobTable, type JobTime } from './job-table.ts';
import { Rate } from './rate.ts';

/** Parts that are called in one alarm. */
const AT_A_TIME = 20;
/** A part that has not ended and says nothing for so long is asked: its alarm may be gone. */
const SILENT_MS = 60_000;
/** How often in a row the input may fail to be read. */
const MAX_INGEST_FAILURES = 20;

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
  #ingestFailures = 0;
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
    if (report.isClosed) await this.#alarm.wake(now);
    return this.#fate();
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
      if (!isOver) return await this.#ingest().catch((error) => this.#ingestFailed(error));
      this.#end('expired');
      return null;
    }
    // Nothing was started of what was canceled while it was read.
    const isUnread = record.times.inProgressAt === undefined;
    if (isUnread) {
      this.#end('cancelled');
      return null;
    }
    if (this.#fate() === 'runs') await this.#start();
    else await this.#endParts();
    await this.#askSilent(now);
    noteTokens(this.#dependencies(), this.#table, (work) => this.ctx.waitUntil(work));
    return this.#settle(now);
  }

  /** Ends the job when all of its parts have. @returns when there is more to do */
  #settle(now: number): number | null {
    const { record } = this.#table;
    if (record === null) return null;
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
    const isAtWork = (isRunning ? this.#table.unstarted(1) : this.#table.unended(1)).length > 0;
    if (isAtWork) return now;
    return isRunning ? Math.min(record.order.expiresAt, now + SILENT_MS) : now + SILENT_MS;
  }

  async #ingest(): Promise<number | null> {
    const { record } = this.#table;
    if (record === null) return null;
    const { id, order, cursor } = record;
    const { config, jobImages } = this.#dependencies();
    const known = this.#table.errors().length;
    const { parts: part } = this.#table.totals();
    const found = await ingestPart({ files: this.#bucket(), images: jobImages }, config, {
      job: id,
      order,
      cursor,
      part,
      errors: known,
    });
    // It may have been canceled meanwhile.
    if (this.#table.record?.state !== 'validating') return Date.now();
    this.#ingestFailures = 0;
    if (found.errors.length > 0) this.#table.addErrors(found.errors, found.cursor);
    if (found.part !== null) this.#table.addPart(found.part, found.part.ids, found.cursor);
    else this.#table.update({ cursor: found.cursor });
    if (!found.isDone) return Date.now();
    return await this.#ingested(found.cursor.items);
  }

  /** The bucket may be back soon; what fails each time does not let a job wait for ever. */
  #ingestFailed(error: unknown): null {
    this.#ingestFailures++;
    const cursor = this.#table.record?.cursor;
    if (this.#ingestFailures < MAX_INGEST_FAILURES || cursor === undefined) throw error;
    this.#table.addErrors([UNREADABLE], cursor);
    this.#end('failed');
    return null;
  }

  /** All lines were read. */
  async #ingested(items: number): Promise<number | null> {
    const listed = this.#table.errors().length;
    const errors: LineError[] = items === 0 && listed === 0 ? [EMPTY] : [];
    const { total, parts } = this.#table.totals();
    const ids = () => Array.from({ length: parts }, (_, part) => part).values();
    const blobs = function* (table: JobTable) {
      for (const part of ids()) yield table.idsOf(part);
    };
    const room = MAX_LINE_ERRORS - listed;
    if (room > 0) {
      for (const { line, first } of findDuplicates(total, () => blobs(this.#table), room)) {
        errors.push({ line, ...duplicateOf(first, this.#table.record?.order.kind) });
      }
    }
    const refusal = errors.length + listed === 0 ? await this.#charge(total) : null;
    if (refusal !== null) errors.push(refusal);
    const cursor = this.#table.record?.cursor;
    if (errors.length > 0 && cursor !== undefined) this.#table.addErrors(errors, cursor);
    this.#table.dropIds();
    if (errors.length + listed > 0) {
      const { record } = this.#table;
      this.#end('failed');
      if (record !== null)
        await deleteAll(this.#bucket(), jobPrefix(record.order.owner, record.id));
      return null;
    }
    const now = Date.now();
    // It may have been canceled while it was charged for.
    if (this.#table.record?.state !== 'validating') return now;
    this.#table.enter('in_progress', 'inProgressAt', now);
    this.#event('in_progress');
    return now;
  }

  async #charge(items: number): Promise<LineError | null> {
    const { record } = this.#table;
    if (record === null) return null;
    return await chargeItems(this.#dependencies(), record.order, {
      job: record.id,
      items,
      waitUntil: (work) => this.ctx.waitUntil(work),
    });
  }

  async #deleteItems(): Promise<void> {
    await deleteItems(this.#table, this.#bucket(), (part) => this.#part(part));
  }

  async #start(): Promise<void> {
    const { record } = this.#table;
    if (record === null) return;
    const shared = sharedOf(record);
    await Promise.all(
      this.#table.unstarted(AT_A_TIME).map(async ({ part, items }) => {
        await this.#part(part).start({ ...shared, part, items });
        this.#table.markStarted(part, Date.now());
      }),
    );
  }

  async #endParts(): Promise<void> {
    const { record } = this.#table;
    const fate = this.#fate();
    if (record === null || fate === 'runs' || fate === 'gone') return;
    const shared = sharedOf(record);
    await Promise.all(
      this.#table.unended(AT_A_TIME).map(async ({ part, items }) => {
        // One that was not begun has to say of its items that they were not run.
        await this.#part(part).start({ ...shared, part, items });
        await this.#part(part).end(fate);
        this.#table.markStarted(part, Date.now());
        this.#table.markEnded(part);
      }),
    );
  }

  async #askSilent(now: number): Promise<void> {
    await Promise.all(
      this.#table.silent(now - SILENT_MS, AT_A_TIME).map(async ({ part }) => {
        const report = await this.#part(part).report();
        if (report !== null) this.#table.hear(report, Date.now());
      }),
    );
  }

  #fate(): PartFate {
    const { record } = this.#table;
    if (record === null) return 'gone';
    if (record.state === 'cancelling' || record.state === 'cancelled') return 'canceled';
    return Date.now() >= record.order.expiresAt || record.state === 'expired' ? 'expired' : 'runs';
  }

  #end(state: 'completed' | 'failed' | 'cancelled' | 'expired'): void {
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

  #part(part: number): JobPartObject {
    const { JOB_PARTS: parts } = this.env;
    const id = this.#table.record?.id;
    if (parts === undefined || id === undefined) throw new Error('JOB_PARTS is not bound');
    return parts.getByName(`${id}/${part}`) as unknown as JobPartObject;
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

  #out(): Outbox | null {
    if (this.#outbox !== undefined) return this.#outbox;
    this.#outbox = this.outbox(this.ctx.storage, this.#dependencies());
    return this.#outbox;
  }
}

/** What all parts have in common. */
function sharedOf({ id, order }: JobRecord): Omit<PartOrder, 'part' | 'items'> {
  const { owner, client, namespace, cacheEmbeddings, expiresAt, input } = order;
  const isOfBucket = input.kind === 'prefix';
  return { job: id, owner, client, namespace, cacheEmbeddings, expiresAt, isOfBucket };
}
