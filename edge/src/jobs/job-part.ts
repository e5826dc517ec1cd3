/**
 * The Durable Object of one part of a job: reads its lines, puts their work into the queue, a window of them at a time,
 * stores the first result that is committed of each, and seals all results as one object of the bucket.
 */
import { DurableObject } from 'cloudflare:workers';
import { ApiError, type Problem } from '@blip2/shared/errors';
import type { CommitReply, CommitRequest } from '@blip2/shared/jobs/commit';
import type { Dependencies } from '../dependencies.ts';
import { logWarning } from '../log.ts';
import { revisionFor } from '../model-manifest.ts';
import type { Env } from '../platform.ts';
import type { RequestContext } from '../request-context.ts';
import { Alarm } from './alarm.ts';
import { linesFrom } from './bucket-lines.ts';
import {
  type BatchLine,
  imageKey,
  type JobPartObject,
  type PartFate,
  type PartOrder,
  type PartPage,
  type PartReport,
  partKey,
  type ReportingJob,
  type SourceOfItem,
} from './contract.ts';
import { messageOf } from './message.ts';
import { type EndedItem, type OpenItem, PartTable, type Place } from './part-table.ts';
import { cacheEmbeddings, ownerOf, performCommit } from './perform-commit.ts';
import { fitsQueue, JobQueue } from './queue.ts';
import { MAX_STORED_LINE_BYTES } from './read-line.ts';
import { type ItemApp, Rehearser } from './rehearsal.ts';
import { NEVER_RUN, repliedItem, unrepliedItem } from './results.ts';
import { sealResults } from './seal.ts';

/** Items that are rehearsed at a time, and in one alarm. */
const AT_A_TIME = 16;
const READ_PER_ALARM = 512;
const SEND_PER_ALARM = 500;
/** Items that are ended in one go where the job has ended before them. */
const END_PER_ALARM = 2000;
/** How often counts are reported at most. */
const REPORT_MS = 1000;
/** Between two tries of what failed for reasons outside. */
const RETRY_MS = 5000;
const MAX_RETRY_MS = 60_000;
/** After so many an item has failed. */
const MAX_FAILURES = 20;
/** How often an image that cannot be had is asked for. */
const MAX_SOURCE_TRIES = 4;
/** Lines of one page, and their characters. */
const PAGE_LINES = 500;
const PAGE_CHARACTERS = 2 ** 20;
/** Of the part's lines, read at a time. */
const RANGE_BYTES = 2 ** 18;
/** An item's line as its row holds it. */
const MAX_LINE_CHARACTERS = 500_000;

export abstract class JobPartBase extends DurableObject<Env> implements JobPartObject {
  readonly #table: PartTable;
  readonly #alarm: Alarm;
  #services: { deps: Dependencies; rehearser: Rehearser; queue: JobQueue } | undefined;
  /** When the next report may be sent, and whether there is something to report. */
  #reportAt = 0;
  #hasNews = true;
  /** How often in a row something outside was not to be had. */
  #delays = 0;
  /** How often the source of an item could not be had: a host may be back soon. */
  readonly #sourceFailures = new Map<number, number>();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#table = new PartTable(ctx.storage);
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
    if (state === null || state.isSealed) return;
    if (state.ending === null) this.#table.update({ ending: fate });
    await this.#alarm.wake(Date.now());
  }

  async commit({ results, seconds }: CommitRequest): Promise<CommitReply | null> {
    const { state } = this.#table;
    if (state === null) return null;
    const { order } = state;
    const { deps, rehearser } = this.#prepared();
    const ended: EndedItem[] = [];
    let isStale = false;
    for (const { item, outcome } of results) {
      const open = this.#table.openItem(item);
      if (open === null) continue;
      if (open.work.revision !== revisionFor(deps.models, open.work.task)) {
        // It was made for a model that is not served any more: neither its tokens nor its failure count.
        this.#table.markUnsent(item);
        isStale = true;
        continue;
      }
      const performed = await performCommit(rehearser, order, open, outcome);
      ended.push(performed.ended);
      if (!order.cacheEmbeddings || performed.performance === null) continue;
      const context = this.#context(ownerOf(order, item).name, order);
      this.ctx.waitUntil(cacheEmbeddings(deps, order, performed.performance, context));
    }
    // Meanwhile another commit, or the end of the job, may have had the item: the first counts.
    const current = this.#table.state;
    if (current === null) return null;
    const fresh = current.isSealed ? 0 : this.#table.end(ended, seconds);
    const reply = { fresh, duplicates: results.length - fresh, state: this.#fate() };
    if (isStale) await this.#alarm.wake(Date.now());
    if (fresh > 0) {
      this.#hasNews = true;
      await this.#alarm.wake(this.#isHungry() ? Date.now() : Math.max(Date.now(), this.#reportAt));
    }
    return reply;
  }

  async source(item: number): Promise<SourceOfItem> {
    const { state } = this.#table;
    const open = this.#table.openItem(item);
    if (state === null || open === null || state.ending !== null) return { kind: 'ended' };
    const { namespace, owner, job, client } = state.order;
    const { task, source } = open.work;
    switch (source.kind) {
      case 'none':
        return { kind: 'ended' };
      case 'url':
        return { kind: 'url', url: source.url, client };
      case 'object':
        return { kind: 'object', key: source.key };
      case 'stored':
        return { kind: 'stored', key: imageKey(owner, job, source.sha256) };
      case 'embeddings': {
        const ids =
          task.kind === 'generate' || task.kind === 'embed' ? task.instruction_ids : undefined;
        const { sha256 } = source;
        return { kind: 'embeddings', namespace, sha256, ...(ids && { instructionIds: ids }) };
      }
    }
  }

  async sourceFailed(item: number, problem: Problem): Promise<boolean> {
    const tries = (this.#sourceFailures.get(item) ?? 0) + 1;
    const mayPass = isPassing(problem.status) || /\bTry again\b/.test(problem.detail);
    if (mayPass && tries < MAX_SOURCE_TRIES) {
      this.#sourceFailures.set(item, tries);
      return false;
    }
    this.#sourceFailures.delete(item);
    await this.commit({ results: [{ item, outcome: { kind: 'failed', problem } }] });
    return true;
  }

  async page(from: number, overGaps: boolean): Promise<PartPage> {
    const { state } = this.#table;
    if (state === null) return { kind: 'lines', lines: [], next: null, isWhole: false };
    if (state.isSealed) return { kind: 'sealed' };
    await this.#alarm.wake(Date.now() + RETRY_MS);
    const lines: string[] = [];
    let characters = 0;
    let next = from;
    let isCut = false;
    for (const { item, line } of this.#table.results(from, PAGE_LINES)) {
      if (item !== next && !overGaps) break;
      if (characters > 0 && characters + line.length > PAGE_CHARACTERS) {
        isCut = true;
        break;
      }
      lines.push(line);
      characters += line.length;
      next = item + 1;
    }
    isCut ||= lines.length === PAGE_LINES;
    const isWhole = next >= state.order.items;
    return { kind: 'lines', lines, next: isCut && !isWhole ? next : null, isWhole };
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
    if (!state.isSealed) {
      if (state.ending === null && soon >= state.order.expiresAt) {
        this.#table.update({ ending: 'expired' });
      }
      const next = this.#table.state?.ending === null ? await this.#fill() : await this.#endRest();
      await this.#sealIfDone();
      await this.#tell();
      if (this.#table.state === null) return null;
      if (!this.#table.state.isSealed) {
        const waits = [next, state.order.expiresAt, this.#hasNews ? this.#reportAt : null];
        return Math.min(...waits.filter((time) => time !== null));
      }
    }
    await this.#tell();
    // The job has to hear of the end; then there is nothing more to do.
    return this.#hasNews ? Math.max(Date.now() + REPORT_MS, this.#reportAt) : null;
  }

  /** Fills the window, and sends what is not in the queue. @returns when there is more to do */
  async #fill(): Promise<number | null> {
    const { deps } = this.#prepared();
    const { jobsWindow, jobsResendMs } = deps.config;
    const delayed = await this.#read(jobsWindow);
    const isSent = await this.#send(jobsResendMs);
    const now = Date.now();
    this.#delays = delayed || !isSent ? this.#delays + 1 : 0;
    if (this.#delays > 0) return now + Math.min(RETRY_MS * 2 ** (this.#delays - 1), MAX_RETRY_MS);
    if (this.#isHungry()) return now;
    return this.#table.resendAt(jobsResendMs);
  }

  /** Whether there are lines to read, and room for them. */
  #isHungry(): boolean {
    const { state } = this.#table;
    if (state === null || state.isSealed) return false;
    const { place, order, ending } = state;
    const ended = state.tally.completed + state.tally.failed + state.tally.canceled;
    if (ended === order.items) return true;
    if (ending !== null) return true;
    if (place.item >= order.items) return false;
    const { jobsWindow } = this.#prepared().deps.config;
    return this.#table.openCount() <= jobsWindow / 2;
  }

  /** Reads and rehearses items until the window is full. @returns whether one has to wait for something outside */
  async #read(window: number): Promise<boolean> {
    const { state } = this.#table;
    if (state === null) return false;
    const { order } = state;
    let count = Math.min(window - this.#table.openCount(), READ_PER_ALARM);
    let from: Place = state.place;
    let chunk: { line: BatchLine; next: Place }[] = [];
    const flush = async () => {
      const done = await this.#rehearse(order, from, chunk);
      from = chunk.at(-1)?.next ?? from;
      chunk = [];
      return done;
    };
    if (count <= 0 || from.item >= order.items) return false;
    let item = from.item;
    for await (const { text, next } of linesOf(this.#bucket(), order, from)) {
      chunk.push({ line: JSON.parse(text ?? '{}'), next: { offset: next, item: ++item } });
      count--;
      if (chunk.length === AT_A_TIME && !(await flush())) return true;
      if (count <= 0 || item >= order.items) break;
    }
    return chunk.length > 0 && !(await flush());
  }

  /** @returns false where one of them has to wait for something outside */
  async #rehearse(
    order: PartOrder,
    from: Place,
    chunk: readonly { line: BatchLine; next: Place }[],
  ): Promise<boolean> {
    const { rehearser } = this.#prepared();
    const failures = this.#table.state?.failures ?? 0;
    const rehearsed = await Promise.all(
      chunk.map(({ line }, index) => rehearser.rehearse(line, ownerOf(order, from.item + index))),
    );
    const open: Parameters<PartTable['read']>[2][number][] = [];
    const ended: EndedItem[] = [];
    let to = from;
    for (const [index, { line, next }] of chunk.entries()) {
      const item = from.item + index;
      const place = { part: order.part, item };
      const result = rehearsed[index];
      if (result === undefined) break;
      if (result.kind === 'work') {
        const text = JSON.stringify(line);
        const fits =
          text.length <= MAX_LINE_CHARACTERS && fitsQueue(JSON.stringify(result.work.task));
        if (fits) open.push({ item, line: text, work: result.work });
        else ended.push(unrepliedItem(place, line, 'failed', TOO_LARGE));
      } else {
        if (isPassing(result.reply.status) && (index > 0 || failures < MAX_FAILURES)) break;
        ended.push(repliedItem(place, line, result.reply));
      }
      to = next;
    }
    if (this.#table.state?.ending !== null) return true;
    if (to.item > from.item && this.#table.read(from, to, open, ended, Date.now())) {
      if (ended.length > 0) this.#hasNews = true;
    }
    const isAll = to === chunk.at(-1)?.next;
    if (to.item === from.item) this.#table.update({ failures: failures + 1 });
    return isAll;
  }

  /** Sends what is not in the queue, or may be lost. @returns whether the queue has it all */
  async #send(resendMs: number): Promise<boolean> {
    const { deps, queue } = this.#prepared();
    const { state } = this.#table;
    if (state === null) return true;
    const unsent = this.#table.unsent(Date.now(), resendMs, SEND_PER_ALARM);
    if (unsent.length === 0) return true;
    const items: OpenItem[] = [];
    let isDelayed = false;
    for (const item of unsent) {
      const current = await this.#renewed(state.order, item);
      if (current === 'later') isDelayed = true;
      else if (current !== null) items.push(current);
    }
    const messages = await Promise.all(items.map((item) => messageOf(deps, state.order, item)));
    const group = state.order.client;
    const { sent, error } = await queue.send(
      messages.map((message) => ({ body: JSON.stringify(message), group })),
    );
    if (this.#table.state?.isSealed !== false) return true;
    const tried = items.map(({ item }) => item);
    this.#table.markSent(tried, sent, Date.now());
    if (error === undefined) return !isDelayed;
    const request_id = `job-${state.order.job.slice(0, 32)}-${state.order.part}`;
    logWarning('job-queue-failure', {
      request_id,
      sent: sent.filter(Boolean).length,
      of: items.length,
      error,
    });
    return false;
  }

  /** An item as the model that is served now needs it; null where it has ended so. */
  async #renewed(order: PartOrder, open: OpenItem): Promise<OpenItem | 'later' | null> {
    const { deps, rehearser } = this.#prepared();
    const { item, work } = open;
    if (work.revision === revisionFor(deps.models, work.task)) return open;
    const line = JSON.parse(open.line) as BatchLine;
    const rehearsed = await rehearser.rehearse(line, ownerOf(order, item));
    if (rehearsed.kind === 'work') {
      this.#table.replaceWork(item, rehearsed.work);
      return { ...open, work: rehearsed.work };
    }
    if (isPassing(rehearsed.reply.status)) {
      this.#table.markUnsent(item);
      return 'later';
    }
    this.#table.end([repliedItem({ part: order.part, item }, line, rehearsed.reply)]);
    this.#hasNews = true;
    return null;
  }

  /** Ends what has not ended, as its job has. @returns when there is more to do */
  async #endRest(): Promise<number | null> {
    const { state } = this.#table;
    if (state === null || state.ending === null) return null;
    const { order, ending } = state;
    const ended = (item: number, line: BatchLine) =>
      unrepliedItem({ part: order.part, item }, line, ending, NEVER_RUN[ending]);
    const open = this.#table.firstOpen(END_PER_ALARM);
    this.#table.end(open.map(({ item, line }) => ended(item, JSON.parse(line))));
    this.#hasNews = true;
    if (open.length === END_PER_ALARM) return Date.now();
    const from = state.place;
    let to: Place = from;
    const rest: EndedItem[] = [];
    if (from.item < order.items) {
      for await (const { text, next } of linesOf(this.#bucket(), order, from)) {
        rest.push(ended(to.item, JSON.parse(text ?? '{}')));
        to = { offset: next, item: to.item + 1 };
        if (rest.length === END_PER_ALARM || to.item >= order.items) break;
      }
      this.#table.read(from, to, [], rest, Date.now());
    }
    return to.item < order.items ? Date.now() : null;
  }

  async #sealIfDone(): Promise<void> {
    const { state } = this.#table;
    if (state === null || state.isSealed) return;
    const { completed, failed, canceled } = state.tally;
    if (completed + failed + canceled < state.order.items) return;
    await sealResults(this.#bucket(), partKey(state.order, 'out'), this.#table);
    // Another seal may have been faster.
    if (this.#table.state?.isSealed === false) this.#table.seal();
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
    const { tally, order, isSealed } = state;
    const { completed, failed, canceled, seconds } = tally;
    const usage = { prompt_tokens: tally.promptTokens, completion_tokens: tally.completionTokens };
    return { part: order.part, completed, failed, canceled, usage, seconds, isSealed };
  }

  #fate(): CommitReply['state'] {
    const { state } = this.#table;
    if (state === null || state.isSealed) return 'ended';
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

  #prepared() {
    if (this.#services !== undefined) return this.#services;
    const deps = this.dependencies();
    const rehearser = new Rehearser({
      deps,
      createApp: (staged) => this.createApp(staged),
      storeImage: async (sha256, bytes) => {
        const { state } = this.#table;
        if (state === null) return;
        await this.#bucket().put(imageKey(state.order.owner, state.order.job, sha256), bytes);
      },
      waitUntil: (work) => this.ctx.waitUntil(work),
    });
    this.#services = { deps, rehearser, queue: new JobQueue(deps) };
    return this.#services;
  }

  #context(requestId: string, { client, namespace }: PartOrder): RequestContext {
    const { deps } = this.#prepared();
    const startedAt = deps.now();
    return {
      requestId,
      client,
      namespace,
      startedAt,
      signal: new AbortController().signal,
      deadlineAt: startedAt + deps.config.deadlineMs,
      waitUntil: (work) => this.ctx.waitUntil(work),
    };
  }
}

/** The part's lines, each read and within its bounds when the job was. */
function linesOf(bucket: R2Bucket, order: PartOrder, { offset }: Place) {
  const reading = { offset, maxBytes: MAX_STORED_LINE_BYTES, rangeBytes: RANGE_BYTES };
  return linesFrom(bucket, partKey(order, 'in'), reading);
}

const TOO_LARGE = {
  code: new ApiError('body-too-large', '').slug,
  message:
    'The item is too large for the queue: send what it holds as images by URL, or fewer texts.',
};

/** Whether the same may have another reply in a while. */
function isPassing(status: number): boolean {
  return status === 429 || status >= 500;
}
