/** The engine loop: work on images, prefill, one decode step for every running sequence, and again. */
import { ApiError } from '@blip2/shared/errors';
import { Batch } from './batch.ts';
import { chooseTokens } from './choose-tokens.ts';
import { createStrategy } from './decoding/create-strategy.ts';
import type { Continuation } from './decoding/strategy.ts';
import { expectFinite, expectFiniteEvent } from './finite.ts';
import { ImageQueue } from './image-queue.ts';
import { KvManager } from './kv/kv-manager.ts';
import { type Decoder, type ForwardBatch, promptOf } from './models/decoder.ts';
import type { EngineModels } from './models/load-models.ts';
import type { EngineOptions, Job, JobEvent, SubmitOptions } from './protocol.ts';
import { compareTickets, FairQueue } from './scheduling/fair-queue.ts';
import { type Action, nextAction } from './scheduling/scheduler.ts';
import { type EngineRequest, type Sequence, SequenceGroup } from './sequence.ts';
import { serializeError } from './serialize-error.ts';
import type { CompletedAction, EngineStats } from './stats.ts';

/** One pass of the decoder: the sequence of each row of its batch, null where a slot stays as it is. */
type Pass = { rows: readonly (Sequence | null)[]; batch: ForwardBatch };

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
  readonly #queue = new FairQueue();
  readonly #options: EngineOptions;
  readonly #emit: (id: number, event: JobEvent) => void;
  readonly #report: (stats: EngineStats) => void;
  /** Groups that wait for slots, in the order in which they get them. */
  #waiting: SequenceGroup[] = [];
  readonly #canceled = new Set<number>();
  #last: Action['kind'] = 'wait';

  /** `emit` gets the events of each job, `report` the stats after each action, and once when there is no more to do. */
  constructor(
    models: EngineModels,
    options: EngineOptions,
    emit: (id: number, event: JobEvent) => void,
    report: (stats: EngineStats) => void = () => {},
  ) {
    this.#decoder = models.decoder;
    this.#kv = new KvManager(models.decoder, options);
    this.#batch = new Batch(models.decoder);
    this.#images = new ImageQueue(models);
    this.#options = options;
    this.#emit = emit;
    this.#report = report;
  }

  /** @param id names the job in its events, and to `cancel` it */
  submit(id: number, job: Job, { caller, requestId }: SubmitOptions): void {
    const slots = job.kind === 'generate' ? Math.max(job.config.n, job.config.num_beams) : 1;
    const ticket = this.#queue.join(caller, slots);
    const submittedAt = performance.now();
    const request = { id, requestId, job, ticket, submittedAt, timings: { queue: 0 } };
    this.#attempt(request, () => {
      if (job.kind === 'generate' && job.source.kind === 'embeddings') {
        this.#enqueue(request, job.source.values);
      } else this.#images.submit(request);
    });
  }

  /** Removes a job before the next action: while one runs, the slots must not change. */
  cancel(id: number): void {
    this.#canceled.add(id);
  }

  /** Runs one action; a run that fails is an event. @returns false when there was nothing to do */
  async advance(): Promise<boolean> {
    for (const id of this.#canceled) this.#remove(id);
    this.#canceled.clear();
    const action = nextAction(
      {
        waitingImages: this.#images.waiting,
        waitingGroups: this.#waiting,
        prefilling: this.#batch.sequences.length - this.#batch.running,
        running: this.#batch.running,
        freeSlots: this.#options.maxSlots - this.#batch.reservedSlots,
        chunkTokens: this.#options.prefillChunkTokens,
      },
      this.#last,
    );
    const wasBusy = this.#last !== 'wait';
    this.#last = action.kind;
    if (action.kind === 'wait') {
      this.#kv.reset();
      if (wasBusy) this.#reportStats(null);
      return false;
    }
    const start = performance.now();
    const isImages = action.kind === 'images';
    const rows = isImages ? await this.#advanceImages() : await this.#runPass(this.#plan(action));
    const [startedAt, ms] = [performance.timeOrigin + start, performance.now() - start];
    this.#reportStats({ action: action.kind, startedAt, ms, rows });
    return true;
  }

  /** Frees what is cached; to be called before the models are released. */
  release(): void {
    this.#kv.release();
  }

  /** The sequences of the next pass, and the positions that it computes. */
  #plan(action: Extract<Action, { kind: 'prefill' | 'prefill-chunk' | 'step' }>): Pass {
    switch (action.kind) {
      case 'prefill': {
        const rows = this.#waiting.splice(0, action.count).map((group) => this.#begin(group));
        return { rows, batch: this.#kv.firstChunks(rows) };
      }
      case 'prefill-chunk': {
        const sequence = this.#batch.prefilling as Sequence;
        return { rows: [sequence], batch: this.#kv.nextChunk(sequence) };
      }
      case 'step': {
        const rows = this.#batch.sequences.map((one) => (one.isPrefilled ? one : null));
        return { rows, batch: { kind: 'decode', rows } };
      }
    }
  }

  /** The one sequence of a group until its prompt is computed. */
  #begin(group: SequenceGroup): Sequence {
    const { ticket, timings, submittedAt } = group.request;
    const encoding = (timings.vision ?? 0) + (timings.qformer ?? 0);
    timings.queue = Math.max(0, performance.now() - submittedAt - encoding);
    this.#queue.begin(ticket);
    this.#kv.untrack(group);
    return this.#batch.add(group);
  }

  /**
   * Tokens leave before keys and values are written: whoever waits for a token need not wait for that. Slots stay as they
   * are until then, those of groups that have failed as well.
   * @returns sequences that took part
   */
  async #runPass({ rows, batch: planned }: Pass): Promise<number> {
    const sequences = rows.filter((row) => row !== null);
    const groups = [...new Set(sequences.map(({ group }) => group))];
    const requests = groups.map(({ request }) => request);
    await this.#guard(requests, async () => {
      const start = performance.now();
      const { batch, broken } = await this.#kv.restorePrefixes(planned);
      using out = await this.#decoder.forward(batch);
      const computed = performance.now();
      const logits = out.logits.map((row, i) => (broken.has(i) ? undefined : row));
      const { outputs, failures } = chooseTokens(rows, logits, ({ request }, tokens) => {
        this.#emit(request.id, { type: 'tokens', ...tokens });
      });
      await out.commit();
      this.#kv.recordCommit(batch, sequences);
      const committed = performance.now();
      const failed = rows.flatMap((one, row) => (one && failures.has(one.group) ? [row] : []));
      await this.#kv.storePrefixes(batch, out.keysAndValues, new Set(failed));
      const phase = batch.kind;
      const took = (phase === 'prefill' ? computed : committed) - start;
      for (const { timings } of requests) timings[phase] = (timings[phase] ?? 0) + took;
      for (const [{ request }, error] of failures) this.#fail(request, error);
      for (const [group, { next }] of outputs) {
        this.#attempt(group.request, () => this.#advanceGroup(group, next));
      }
    });
    return sequences.length;
  }

  #advanceGroup(group: SequenceGroup, next: readonly Continuation[]): void {
    this.#batch.advance(group, next);
    if (next.length > 0) return;
    const { id, timings } = group.request;
    this.#emit(id, { type: 'done', choices: group.strategy.choices, timings });
  }

  /** @returns sequences that took part: none */
  async #advanceImages(): Promise<0> {
    const work = this.#images.next();
    if (work === null) return 0;
    for (const { ticket } of work.requests) this.#queue.begin(ticket);
    const pending = new Set(work.requests);
    await this.#guard(pending, async () => {
      for await (const { request, events, queryEmbeddings } of this.#images.run(work)) {
        pending.delete(request);
        this.#attempt(request, () => {
          for (const event of events) {
            expectFiniteEvent(event);
            this.#emit(request.id, event);
          }
          if (queryEmbeddings !== undefined) this.#enqueue(request, queryEmbeddings);
        });
      }
    });
    return 0;
  }

  /** @param queryEmbeddings float32 [queries, hidden] */
  #enqueue(request: EngineRequest, queryEmbeddings: Float32Array): void {
    const { job } = request;
    if (job.kind !== 'generate') return;
    expectFinite(queryEmbeddings, 'query embeddings');
    const prompt = promptOf(queryEmbeddings, job.inputIds);
    const strategy = createStrategy({
      config: job.config,
      promptIds: this.#decoder.promptTokenIds(prompt),
      eosIds: this.#options.manifest.eos_token_ids,
    });
    const group = new SequenceGroup(request, prompt, strategy);
    this.#kv.track(group);
    this.#waiting.push(group);
    this.#waiting.sort((a, b) => compareTickets(a.request.ticket, b.request.ticket));
  }

  /** Removes a request from every queue, and from the batch. */
  #remove(id: number): void {
    this.#images.remove(id);
    for (const group of this.#waiting) if (group.request.id === id) this.#kv.untrack(group);
    this.#waiting = this.#waiting.filter(({ request }) => request.id !== id);
    this.#batch.remove(id);
  }

  /** A run that fails ends the requests in it, and only those. */
  async #guard(requests: Iterable<EngineRequest>, run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (thrown) {
      for (const request of requests) this.#fail(request, thrown);
    }
  }

  /** What is done for one request ends that one where it fails. */
  #attempt(request: EngineRequest, run: () => void): void {
    try {
      run();
    } catch (thrown) {
      this.#fail(request, thrown);
    }
  }

  #fail({ id, requestId }: EngineRequest, thrown: unknown): void {
    this.#remove(id);
    const slug = thrown instanceof ApiError ? { slug: thrown.slug } : {};
    try {
      this.#emit(id, { type: 'failed', error: serializeError(thrown), requestId, ...slug });
    } catch {
      // Its events cannot be delivered, and this would be one: there is nobody to tell.
    }
  }

  #reportStats(done: CompletedAction | null): void {
    this.#report({
      done,
      waiting: { images: this.#images.waiting, prefill: this.#waiting.length },
      running: this.#batch.running,
      memory: this.#kv.memory,
      features: this.#images.features,
    });
  }
}
