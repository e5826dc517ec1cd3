/** The engine loop: work on images, prefill, one decode step for every running sequence, and again. */
import { Batch } from './batch.ts';
import { createStrategy } from './decoding/create-strategy.ts';
import { DroppedImages } from './dropped-images.ts';
import { asProblem } from './failure.ts';
import { expectFinite, expectFiniteEvent } from './finite.ts';
import { ImageQueue } from './image-queue.ts';
import { KvBudget } from './kv/kv-budget.ts';
import { KvManager } from './kv/kv-manager.ts';
import { loadOf } from './load.ts';
import { type Decoder, promptOf } from './models/decoder.ts';
import type { EngineModels } from './models/load-models.ts';
import { Outbox } from './outbox.ts';
import { type Pass, PassRunner } from './pass-runner.ts';
import type { EngineOptions, Job, JobEvent, SubmitOptions } from './protocol.ts';
import { BackgroundShare } from './scheduling/background-share.ts';
import { FairQueue } from './scheduling/fair-queue.ts';
import {
  type Action,
  type History,
  historyAfter,
  isBackgroundHeldUp,
  isInterruption,
  NO_HISTORY,
  nextAction,
} from './scheduling/scheduler.ts';
import type { Beginning, SlotLimits } from './scheduling/slot-share.ts';
import { type Part, StreamDebts } from './scheduling/stream-debts.ts';
import { type EngineRequest, type Sequence, SequenceGroup } from './sequence.ts';
import { serializeError } from './serialize-error.ts';
import type { CompletedAction, EngineStats } from './stats.ts';
import { type Turns, turnsOf } from './turns.ts';
import { WaitingGroups } from './waiting-groups.ts';

/** What took part in an action, and whose time that was. */
type Taken = Pick<CompletedAction, 'rows' | 'compares' | 'jobs'> & { parts: readonly Part[] };

/** So often is said, at the most, that something is done for background work. */
const ADVANCED_MS = 10_000;

type Place = Omit<Beginning, 'index'>;

/**
 * All work of the engine thread, one action at a time: the caller advances it while there is something to do.
 * @example
 * engine.submit(1, job, { caller: { client: '', priority: 'interactive' } });
 * while (await engine.advance());
 */
export class Engine {
  readonly #decoder: Decoder;
  readonly #kv: KvManager;
  readonly #batch: Batch;
  readonly #images: ImageQueue;
  readonly #passes: PassRunner;
  readonly #queue = new FairQueue();
  readonly #limits: SlotLimits;
  readonly #budget: KvBudget | null;
  readonly #background: BackgroundShare;
  readonly #debts: StreamDebts;
  readonly #now: () => number;
  readonly #reportsJobs: boolean;
  readonly #eosIds: readonly number[];
  readonly #emit: (id: number, event: JobEvent) => void;
  readonly #report: (stats: EngineStats) => void;
  readonly #waiting: WaitingGroups;
  readonly #outbox: Outbox;
  readonly #canceled = new Set<number>();
  readonly #dropped = new DroppedImages();
  readonly #toDrop = new Set<string>();
  #history: History = NO_HISTORY;

  /**
   * `emit` gets the events of each job, `report` the stats after each action, and once when there is no more to do.
   * @param now milliseconds of any clock that only goes forward
   */
  constructor(
    models: EngineModels,
    options: EngineOptions,
    emit: (id: number, event: JobEvent) => void,
    report: (stats: EngineStats) => void = () => {},
    now: () => number = () => performance.now(),
  ) {
    this.#decoder = models.decoder;
    this.#kv = new KvManager(models.decoder, options, this.#dropped);
    this.#batch = new Batch(models.decoder);
    this.#images = new ImageQueue(models, (request) => this.#goOn(request), this.#dropped);
    this.#waiting = new WaitingGroups(this.#kv);
    this.#outbox = new Outbox(emit);
    this.#passes = new PassRunner(models.decoder, this.#kv, this.#batch, {
      emit: (request, event) => this.#outbox.emit(request, event),
      fail: (request, thrown) => this.#fail(request, thrown),
    });
    const { maxSlots, reserveSlots = maxSlots, prefillChunkTokens: chunkTokens } = options;
    this.#reportsJobs = options.reportsJobs ?? false;
    const { manifest, kvCacheBytes } = options;
    this.#budget = kvCacheBytes === undefined ? null : new KvBudget(manifest, kvCacheBytes);
    this.#limits = { maxSlots, reserveSlots, chunkTokens, memory: this.#budget };
    this.#background = new BackgroundShare(options.backgroundShare ?? 1, now);
    this.#debts = new StreamDebts(now);
    this.#now = now;
    this.#eosIds = options.manifest.eos_token_ids;
    this.#emit = emit;
    this.#report = report;
  }

  /** @param id names the job in its events, and to `cancel` it */
  submit(id: number, job: Job, { caller, requestId, origin }: SubmitOptions): void {
    if (caller.priority === 'interactive') this.#background.asked();
    const slots = job.kind === 'generate' ? Math.max(job.config.n, job.config.num_beams) : 1;
    const ticket = this.#queue.join(caller, slots);
    const submittedAt = performance.now();
    const { client } = caller;
    const timings = { queue: 0 };
    const { source, ...asked } = withSource(job);
    const request = { id, requestId, job: asked, origin, client, ticket, submittedAt, timings };
    this.#attempt(request, () => {
      const { maxSlots } = this.#limits;
      // It would wait for ever, and so would all behind it.
      if (slots > maxSlots) throw new RangeError(`${slots} sequences for ${maxSlots} slots`);
      if (job.kind === 'generate') this.#budget?.expect(job.config, job.inputIds.length);
      if (source?.kind === 'embeddings') this.#enqueue(request, source.values);
      else this.#images.submit(request, source);
    });
  }

  /** Somebody's image is being decoded: background work waits for it, for a moment. */
  expect(): void {
    this.#background.expect();
  }

  /** Removes a job before the next action: while one runs, the slots must not change. */
  cancel(id: number): void {
    this.#canceled.add(id);
  }

  /**
   * Drops what is cached of an image before the next action. Jobs that came until then go on, and cache nothing.
   * @param at milliseconds of the clock that jobs arrive by
   */
  dropImage(image: string, at: number): void {
    this.#dropped.add(image, at);
    this.#toDrop.add(image);
  }

  /** Milliseconds after which there is background work to do; null where there is none. */
  get restMs(): number | null {
    return this.#history.last === 'rest' ? this.#background.restMs : null;
  }

  /** Runs one action; a run that fails is an event. @returns false when there was nothing to do, until `restMs` at least */
  async advance(): Promise<boolean> {
    for (const id of this.#canceled) this.#remove(id);
    this.#canceled.clear();
    for (const image of this.#toDrop) {
      this.#kv.drop(image);
      this.#images.drop(image);
    }
    this.#toDrop.clear();
    const unsent = this.#outbox.next();
    for (const request of unsent) this.#attempt(request, () => this.#outbox.advance(request));
    const wasBusy = this.#history.last !== 'wait';
    const turns = turnsOf(this.#batch, this.#waiting, this.#debts, this.#queue, this.#background);
    const { action, isHeldUp } = this.#next(turns);
    if (action.kind === 'wait') {
      this.#kv.reset();
      if (wasBusy) this.#reportStats(null);
      return unsent.length > 0;
    }
    if (action.kind === 'rest') return unsent.length > 0;
    const [startedAt, start] = [performance.timeOrigin + performance.now(), this.#now()];
    const { parts, ...taken } =
      action.kind === 'images'
        ? await this.#advanceImages(action, turns)
        : await this.#runPass(this.#plan(action, turns));
    const ms = this.#now() - start;
    if (isInterruption(action.kind)) this.#debts.charge(action.isBackground ? [] : parts, ms);
    if (action.isBackground) this.#background.ran(ms);
    else {
      this.#background.heldUp(ms, isHeldUp);
      if (turns.isBackgroundAhead) this.#background.waitedInLine(ms);
      this.#background.asked();
    }
    this.#reportStats({ action: action.kind, startedAt, ms, ...taken });
    return true;
  }

  /** Frees what is cached; to be called before the models are released. */
  release(): void {
    this.#kv.release();
  }

  /** `isHeldUp`: background work waits until it is done. */
  #next(turns: Turns): { action: Action; isHeldUp: boolean } {
    const load = loadOf(turns, {
      limits: this.#limits,
      batch: this.#batch,
      images: this.#images,
      background: this.#background,
    });
    const action = nextAction(load, this.#history);
    this.#history = historyAfter(action, this.#history);
    return { action, isHeldUp: isBackgroundHeldUp(load) };
  }

  /** The sequences of the next pass, and the positions that it computes. */
  #plan(
    action: Extract<Action, { kind: 'prefill' | 'prefill-chunk' | 'step' }>,
    { groups, prefilling }: Turns,
  ): Pass {
    switch (action.kind) {
      case 'prefill': {
        const begun = action.groups.map(({ index, ...place }) => {
          return { group: groups[index] as SequenceGroup, place };
        });
        this.#waiting.take(begun.map(({ group }) => group));
        const rows = begun.map(({ group, place }) => this.#begin(group, place));
        // Of those that ended, slots and positions may be left: with them there would be more than was counted.
        const needs = this.#batch.groups.map(({ kv }) => kv);
        if (this.#budget !== null) this.#decoder.shrink(this.#budget.capacityOf(needs));
        return { rows, batch: this.#kv.firstChunks(rows) };
      }
      case 'prefill-chunk': {
        const sequence = prefilling[action.isBackground ? 'background' : 'urgent'] as Sequence;
        return { rows: [sequence], batch: this.#kv.nextChunk(sequence) };
      }
      case 'step': {
        const rows = this.#batch.sequences.map((one) => (one.isPrefilled ? one : null));
        return { rows, batch: { kind: 'decode', rows } };
      }
    }
  }

  /** The one sequence of a group until its prompt is computed. */
  #begin(group: SequenceGroup, { pool, isSpare = false }: Place): Sequence {
    const { ticket, timings, submittedAt } = group.request;
    const encoding = (timings.vision ?? 0) + (timings.qformer ?? 0);
    timings.queue = Math.max(0, performance.now() - submittedAt - encoding);
    this.#queue.begin(ticket);
    group.pool = pool;
    group.isSpare = isSpare;
    return this.#batch.add(group);
  }

  async #runPass(pass: Pass): Promise<Taken> {
    const sequences = pass.rows.filter((row) => row !== null);
    const jobs = this.#jobsOf(sequences.map(({ group }) => group.request));
    const parts = sequences.map(({ group: { client, chunkPositions } }) => {
      return { client, part: Math.max(1, chunkPositions) };
    });
    for (const { group } of sequences) this.#sayAdvanced(group.request);
    await this.#passes.run(pass);
    return { rows: sequences.length, parts, ...jobs };
  }

  async #advanceImages(
    { isBackground }: Pick<Action, 'isBackground'>,
    { mayRun }: Turns,
  ): Promise<Taken> {
    const work = this.#images.next(mayRun, isBackground ? 'background' : 'interactive');
    if (work === null) return { rows: 0, parts: [] };
    for (const request of work.requests) {
      const { ticket, job } = request;
      // One that generates a text begins when it has its slots.
      if (job.kind === 'generate') {
        this.#queue.prepare(ticket);
        continue;
      }
      this.#queue.begin(ticket);
      this.#sayAdvanced(request);
    }
    for await (const { request, ...result } of this.#images.run(work)) {
      this.#attempt(request, () => {
        if (result.failure !== undefined) throw result.failure;
        for (const event of result.events) {
          expectFiniteEvent(event);
          this.#emit(request.id, event);
        }
        if (result.queryEmbeddings !== undefined) this.#enqueue(request, result.queryEmbeddings);
      });
    }
    const parts = work.requests.map(({ client }) => ({ client, part: 1 }));
    return { rows: 0, parts, compares: work.kind === 'compare', ...this.#jobsOf(work.requests) };
  }

  /** Whoever submitted background work knows so that it does not wait for its turn, which may take hours. */
  #sayAdvanced(request: EngineRequest): void {
    const { id, ticket, advancedAt = Number.NEGATIVE_INFINITY } = request;
    const now = this.#now();
    if (ticket.rank === 0 || now - advancedAt < ADVANCED_MS) return;
    request.advancedAt = now;
    this.#notice(id, { type: 'advanced' });
  }

  #jobsOf(requests: readonly EngineRequest[]): Pick<CompletedAction, 'jobs'> {
    return this.#reportsJobs ? { jobs: [...new Set(requests.map(({ id }) => id))] } : {};
  }

  /** @param queryEmbeddings float32 [queries, hidden] */
  #enqueue(request: EngineRequest, queryEmbeddings: Float32Array): void {
    const { job, origin, ticket } = request;
    if (job.kind !== 'generate') return;
    expectFinite(queryEmbeddings, 'query embeddings');
    const priority = ticket.rank > 0 ? 'background' : 'interactive';
    const prompt = promptOf(queryEmbeddings, job.inputIds, { origin, priority });
    const strategy = createStrategy({
      config: job.config,
      promptIds: this.#decoder.promptTokenIds(prompt),
      eosIds: this.#eosIds,
    });
    this.#waiting.add(new SequenceGroup(request, prompt, strategy));
  }

  /** What is left of it waits as another job of its client would: with the places of before it would go before whoever comes meanwhile. */
  #goOn(request: EngineRequest): void {
    const { client, ticket } = request;
    const priority = ticket.rank > 0 ? 'background' : 'interactive';
    request.ticket = this.#queue.join({ client, priority }, 1);
  }

  /** Removes a request from every queue, and from the batch. */
  #remove(id: number): void {
    const waiting = this.#images.remove(id) ?? this.#waiting.remove(id);
    if (waiting !== undefined) this.#queue.leave(waiting.client, waiting.ticket);
    this.#batch.remove(id);
    this.#outbox.remove(id);
  }

  /** What is done for one request ends that one where it fails. */
  #attempt(request: EngineRequest, run: () => void): void {
    try {
      run();
    } catch (thrown) {
      this.#fail(request, thrown);
    }
  }

  #fail({ id, requestId, client, ticket }: EngineRequest, thrown: unknown): void {
    this.#remove(id);
    this.#queue.leave(client, ticket);
    const problem = asProblem(thrown);
    const { slug } = problem;
    this.#notice(id, { type: 'failed', error: serializeError(problem), requestId, slug });
  }

  #notice(id: number, event: JobEvent): void {
    try {
      this.#emit(id, event);
    } catch {
      // Its events cannot be delivered, and this would be one: there is nobody to tell.
    }
  }

  #reportStats(done: CompletedAction | null): void {
    this.#report({
      done,
      waiting: { images: this.#images.waiting, prefill: this.#waiting.inOrder.length },
      running: this.#batch.running,
      memory: this.#kv.memory,
      features: this.#images.features,
    });
  }
}

/** A job of texts alone has none. */
function withSource(job: Job) {
  return job.kind === 'embed-texts' ? { ...job, source: undefined } : job;
}
