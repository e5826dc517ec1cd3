/**
 * The Durable Object of one part of a job: reads its lines, puts their work into the queue, a window of them at a time,
 * stores the first result that is committed of each, and writes all results into one object of the bucket.
 */
import { DurableObject } from 'cloudflare:workers';
import type { Problem } from '@blip2/shared/errors';
import type { CommitReply, CommitRequest } from '@blip2/shared/jobs/commit';
import { LRUCache } from 'lru-cache';
import type { Dependencies } from '../dependencies.ts';
import type { Env } from '../platform.ts';
import { Alarm } from './alarm.ts';
import { committedItems } from './committed-items.ts';
import {
  type JobPartObject,
  type PartFate,
  type PartOrder,
  type PartPage,
  type PartReport,
  partKey,
  type ReportingJob,
  type SourceOfItem,
} from './contract.ts';
import { endRest } from './end-part.ts';
import type { Progress } from './fill-part.ts';
import { givenUpItem, isPoison } from './item-given-up.ts';
import { pageOf } from './part-page.ts';
import { type PartServices, partServices } from './part-services.ts';
import { PartSources } from './part-sources.ts';
import { PartTable } from './part-table.ts';
import type { ItemApp } from './rehearsal.ts';
import { writeResults } from './write-results.ts';

/** That are remembered: as many as workers may ask about at a time. */
const MAX_ATTEMPTS = 256;
/** How often counts are reported at most. */
const REPORT_MS = 1000;
/** An object whose alarm is gone is woken so late by who reads its results. */
const AWAKE_MS = 5000;

export abstract class JobPartBase extends DurableObject<Env> implements JobPartObject {
  readonly #table: PartTable;
  readonly #alarm: Alarm;
  readonly #sources: PartSources;
  #services: PartServices | undefined;
  /** Of workers that began items alone: one that asks again has not heard the answer. An object that was gone counts it twice. */
  readonly #attempts = new LRUCache<string, true>({ max: MAX_ATTEMPTS });
  readonly #waitUntil = (work: Promise<unknown>) => this.ctx.waitUntil(work);
  /** When the next report may be sent, and whether there is something to report. */
  #reportAt = 0;
  #hasNews = true;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#table = new PartTable(ctx.storage);
    this.#sources = new PartSources(this.#table);
    this.#alarm = new Alarm(ctx.storage, () => Date.now());
  }

  /** Its own: no two objects may wait for one connection. */
  protected abstract dependencies(): Dependencies;
  protected abstract createApp(deps: Dependencies): ItemApp;

  async start(order: PartOrder): Promise<void> {
    if (this.#table.state === null) this.#table.begin(order);
    await this.#alarm.wake(Date.now());
  }

  async end(fate: Exclude<PartFate, 'runs'>): Promise<void> {
    if (fate === 'gone') return await this.forget();
    const { state } = this.#table;
    if (state === null || state.isClosed) return;
    if (state.ending === null) this.#table.update({ ending: fate });
    await this.#alarm.wake(Date.now());
  }

  async commit({ results, seconds }: CommitRequest): Promise<CommitReply | null> {
    const { state } = this.#table;
    if (state === null) return null;
    const { ended, isWaiting } = await committedItems(this.#table, results, {
      ...this.#prepared(),
      waitUntil: this.#waitUntil,
    });
    // Meanwhile another commit, or the end of the job, may have had the item: the first counts.
    const current = this.#table.state;
    if (current === null) return null;
    const fresh = current.isClosed ? 0 : this.#table.end(ended, ended.length > 0 ? seconds : 0);
    const reply = { fresh, duplicates: results.length - fresh, state: this.#fate() };
    if (isWaiting) await this.#alarm.wake(Date.now());
    if (fresh > 0) await this.#hasEnded();
    return reply;
  }

  /** Some items have: the job learns it soon, and others take their place in the queue. */
  async #hasEnded(): Promise<void> {
    this.#hasNews = true;
    const now = Date.now();
    const isHungry = this.#prepared().filler.isHungry();
    await this.#alarm.wake(isHungry ? now : Math.max(now, this.#reportAt));
  }

  async begin(item: number, attempt?: string): Promise<boolean> {
    const { state } = this.#table;
    const open = this.#table.openItem(item);
    if (state === null || open === null || state.ending !== null) return false;
    if (attempt !== undefined && this.#attempts.has(attempt)) return true;
    if (!isPoison(open)) {
      this.#table.open.begin(item);
      if (attempt !== undefined) this.#attempts.set(attempt, true);
      return true;
    }
    this.#table.end([givenUpItem(state.order.part, open)]);
    await this.#hasEnded();
    return false;
  }

  async source(item: number): Promise<SourceOfItem & { failures: number }> {
    return { ...this.#sources.of(item), failures: this.#sources.failures(item) };
  }

  async sourceFailed(
    item: number,
    problem: Problem,
    mayPass: boolean,
    isRefusal = false,
  ): Promise<boolean> {
    if (isRefusal) {
      this.#sources.refused(item);
      return false;
    }
    const isOver = this.#sources.failed(item, mayPass);
    if (isOver) await this.commit({ results: [{ item, outcome: { kind: 'failed', problem } }] });
    return isOver;
  }

  async page(from: number, overGaps: boolean): Promise<PartPage> {
    const { state } = this.#table;
    if (state === null) return { kind: 'lines', lines: [], next: null, isWhole: false };
    if (state.isClosed) return { kind: 'closed' };
    await this.#alarm.wake(Date.now() + AWAKE_MS);
    return pageOf(this.#table, state.order.items, from, overGaps);
  }

  async report(): Promise<PartReport | null> {
    const { state } = this.#table;
    if (state === null) return null;
    await this.#alarm.wake(Date.now());
    return this.#report();
  }

  async forget(): Promise<void> {
    this.#table.forget();
    await this.ctx.storage.deleteAlarm();
    await this.ctx.storage.deleteAll();
  }

  override async alarm(): Promise<void> {
    const { state } = this.#table;
    if (state === null) return;
    const { job, part } = state.order;
    await this.#alarm.run(`job-${job.slice(0, 32)}-${part}`, () => this.#work());
  }

  /** @returns when there is more to do */
  async #work(): Promise<number | null> {
    const soon = Date.now();
    const state = this.#table.state;
    if (state === null) return null;
    // What was stopped when it had almost closed goes on.
    if (state.isClosed) await this.#table.close();
    else {
      if (state.ending === null && soon >= state.order.expiresAt) {
        this.#table.update({ ending: 'expired' });
      }
      const isRunning = this.#table.state?.ending === null;
      let next: Progress | null = null;
      try {
        next = isRunning
          ? await this.#prepared().filler.fill()
          : await endRest(this.#table, this.#bucket());
      } finally {
        // What had ended before an error is closed and reported all the same.
        if (next?.hasEnded !== false) this.#hasNews = true;
        await this.#closeIfDone();
        await this.#tell();
      }
      if (this.#table.state === null) return null;
      if (!this.#table.state.isClosed) {
        const waits = [next.at, state.order.expiresAt, this.#hasNews ? this.#reportAt : null];
        return Math.min(...waits.filter((time) => time !== null));
      }
    }
    await this.#tell();
    // The job has to hear of the end; then there is nothing more to do.
    return this.#hasNews ? Math.max(Date.now() + REPORT_MS, this.#reportAt) : null;
  }

  async #closeIfDone(): Promise<void> {
    const { state } = this.#table;
    if (state === null || state.isClosed) return;
    const { completed, failed, canceled } = state.tally;
    if (completed + failed + canceled < state.order.items) return;
    await writeResults(this.#bucket(), partKey(state.order, 'out'), this.#table);
    // Another may have been faster.
    if (this.#table.state?.isClosed === false) await this.#table.close();
    if (this.#table.state === null) return;
    this.#hasNews = true;
    this.#reportAt = 0;
  }

  /** Reports to the job where there is something to report and it is not too soon. */
  async #tell(): Promise<void> {
    const { state } = this.#table;
    if (state === null || !this.#hasNews || Date.now() < this.#reportAt) return;
    this.#hasNews = false;
    this.#reportAt = Date.now() + REPORT_MS;
    try {
      const fate = await this.#job(state.order.job).report(this.#report());
      if (fate !== 'runs') await this.end(fate);
    } catch (error) {
      this.#hasNews = true;
      throw error;
    }
  }

  #report(): PartReport {
    const { state } = this.#table;
    if (state === null) throw new Error('the part was not begun');
    const { tally, order, isClosed, resultBytes } = state;
    const { completed, failed, canceled, seconds } = tally;
    const usage = { prompt_tokens: tally.promptTokens, completion_tokens: tally.completionTokens };
    return { part: order.part, completed, failed, canceled, usage, seconds, isClosed, resultBytes };
  }

  #fate(): CommitReply['state'] {
    const { state } = this.#table;
    if (state === null || state.isClosed) return 'ended';
    return state.ending === null ? 'running' : 'canceled';
  }

  #job(id: string): ReportingJob {
    const jobs = this.env.JOBS;
    if (jobs === undefined) throw new Error('JOBS is not bound');
    return jobs.get(jobs.idFromString(id.slice(-64))) as unknown as ReportingJob;
  }

  #bucket(): R2Bucket {
    const { JOB_FILES: bucket } = this.env;
    if (bucket === undefined) throw new Error('JOB_FILES is not bound');
    return bucket;
  }

  #prepared(): PartServices {
    this.#services ??= partServices({
      table: this.#table,
      bucket: this.#bucket(),
      deps: this.dependencies(),
      createApp: (staged) => this.createApp(staged),
      waitUntil: this.#waitUntil,
    });
    return this.#services;
  }
}
