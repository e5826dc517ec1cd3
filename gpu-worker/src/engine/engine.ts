/** The engine loop: work on images, prefill, one decode step for every running row, and again. */
import { createHash } from 'node:crypto';
import { Rows, type Writing } from './batch.ts';
import { BeamSearch } from './decoding/beam-search.ts';
import { Sampling } from './decoding/sampling.ts';
import type { Continuation, DecodingStrategy, StrategyOptions } from './decoding/strategy.ts';
import { type Entry, ImageWork, inOrder } from './image-queue.ts';
import type { Decoder, DecoderPrompt } from './models/decoder.ts';
import type { EngineParts } from './models/load-models.ts';
import type { EngineOptions, Job, JobEvent, SubmitOptions } from './protocol.ts';
import { FairOrder } from './scheduling/fair-queue.ts';
import { type Action, nextAction } from './scheduling/scheduler.ts';
import { serializeError } from './serialize-error.ts';
import type { Done, Observation } from './stats.ts';

export class Engine {
  readonly #decoder: Decoder;
  readonly #options: EngineOptions;
  readonly #emit: (id: number, event: JobEvent) => void;
  readonly #observe: (observation: Observation) => void;
  readonly #order = new FairOrder();
  readonly #images: ImageWork;
  #toPrefill: Writing[] = [];
  readonly #rows: Rows;
  readonly #canceled = new Set<number>();
  #last: Action['kind'] = 'wait';

  constructor(
    parts: EngineParts,
    options: EngineOptions,
    emit: (id: number, event: JobEvent) => void,
    observe: (observation: Observation) => void = () => {},
  ) {
    this.#observe = observe;
    this.#decoder = parts.decoder;
    this.#rows = new Rows(parts.decoder);
    this.#options = options;
    this.#emit = emit;
    this.#images = new ImageWork(parts, {
      emit,
      onBegin: ({ place }) => this.#order.begin(place),
      onEmbeddings: (entry, values) => this.#withEmbeddings(entry, values),
    });
  }

  submit(id: number, job: Job, { standing, requestId }: SubmitOptions): void {
    const rows = job.kind === 'generate' ? Math.max(job.config.n, job.config.num_beams) : 1;
    const place = this.#order.join(standing, rows);
    const submittedAt = performance.now();
    this.#images.submit({ id, requestId, job, place, submittedAt, timings: { queue: 0 } });
  }

  /** Forgets a job before the next action: while one runs, the slots must stay what they are. */
  cancel(id: number): void {
    this.#canceled.add(id);
  }

  #forget(id: number): void {
    this.#images.forget(id);
    this.#toPrefill = this.#toPrefill.filter((entry) => entry.id !== id);
    this.#rows.forget(id);
  }

  /** Does one thing. @returns false when there was nothing to do */
  async advance(): Promise<boolean> {
    for (const id of this.#canceled) this.#forget(id);
    this.#canceled.clear();
    const action = nextAction(
      {
        waitingForEncode: this.#images.waiting,
        waitingForPrefill: this.#toPrefill.map(({ decoding, place, prompt }) => ({
          slots: decoding.width,
          positions: this.#decoder.firstPiece(prompt).computed,
          yields: place.rank > 0,
        })),
        reading: this.#rows.all.length - this.#rows.running,
        running: this.#rows.running,
        free: this.#options.maxSlots - this.#rows.reserved,
        atOnce: this.#options.prefillPiece,
      },
      this.#last,
    );
    const wasBusy = this.#last !== 'wait';
    this.#last = action.kind;
    if (action.kind === 'wait') {
      this.#decoder.reset();
      if (wasBusy) this.#tell(null);
      return false;
    }
    const start = performance.now();
    const rows = await this.#do(action);
    const [startedAt, ms] = [performance.timeOrigin + start, performance.now() - start];
    this.#tell({ action: action.kind, startedAt, ms, rows });
    return true;
  }

  #tell(done: Done | null): void {
    this.#observe({
      done,
      waiting: { images: this.#images.waiting, prefill: this.#toPrefill.length },
      running: this.#rows.running,
      memory: this.#decoder.memory,
      features: this.#images.features,
    });
  }

  /** @returns rows that took part */
  async #do(action: Exclude<Action, { kind: 'wait' }>): Promise<number> {
    switch (action.kind) {
      case 'images':
        await this.#images.advance();
        return 0;
      case 'prefill':
        await this.#prefill(action.count);
        return action.count;
      case 'read':
        await this.#read();
        return 1;
      case 'step':
        return this.#step();
    }
  }

  #withEmbeddings(entry: Entry, image: Float32Array): void {
    const { job } = entry;
    if (job.kind !== 'generate') return;
    const prompt = { key: keyOf(image), image, ids: job.inputIds };
    const decoding = strategyFor({
      config: job.config,
      promptIds: this.#decoder.seenOf(prompt),
      eosIds: this.#options.manifest.eos_token_ids,
    });
    this.#toPrefill.push({ ...entry, prompt, decoding, rows: [] });
    this.#toPrefill.sort(inOrder);
  }

  /** Reads prompts into free slots: of long ones the first piece, so that nobody waits for the whole. */
  async #prefill(count: number): Promise<void> {
    const jobs = this.#toPrefill.splice(0, count);
    for (const { place } of jobs) this.#order.begin(place);
    const firstSlot = this.#rows.all.length;
    const prompts = jobs.map(({ prompt }) => this.#decoder.firstPiece(prompt).piece);
    const rows = jobs.map((job, i) => {
      const piece = prompts[i] as DecoderPrompt;
      const unread = job.prompt.ids.slice(piece.ids.length);
      return this.#rows.begin(job, { past: this.#decoder.positionsOf(piece), unread });
    });
    const start = performance.now();
    for (const { timings, submittedAt } of jobs) {
      const encoding = (timings.vision ?? 0) + (timings.qformer ?? 0);
      timings.queue = Math.max(0, start - submittedAt - encoding);
    }
    await this.#guard(jobs, async () => {
      const written = this.#written();
      await this.#decoder.prefill(firstSlot, prompts, (logits) => {
        for (const [i, job] of jobs.entries()) {
          job.timings.prefill = performance.now() - start;
          if (rows[i]?.unread.length === 0) written.take(job, [logits[i] as Float32Array]);
        }
      });
      written.goOn();
    });
  }

  /** Reads the next piece of a long prompt. */
  async #read(): Promise<void> {
    const row = this.#rows.all.find(({ unread }) => unread.length > 0);
    if (row === undefined) return;
    const { owner } = row;
    await this.#guard([owner], async () => {
      const begun = performance.now();
      const start = owner.prompt.ids.length - row.unread.length;
      const count = Math.min(row.unread.length, this.#options.prefillPiece);
      const ids = { start, end: start + count };
      const written = this.#written();
      await this.#decoder.read(row.slot, owner.prompt, ids, (logits) => {
        row.past += count;
        row.unread = row.unread.slice(count);
        owner.timings.prefill = (owner.timings.prefill ?? 0) + performance.now() - begun;
        if (row.unread.length === 0) written.take(owner, logits);
      });
      written.goOn();
    });
  }

  /** One token for every row whose prompt is read. @returns how many they are */
  async #step(): Promise<number> {
    const rows = [...this.#rows.all];
    const writing = rows.filter(({ unread }) => unread.length === 0);
    const jobs = [...new Set(writing.map(({ owner }) => owner))];
    await this.#guard(jobs, async () => {
      const start = performance.now();
      const written = this.#written();
      const read = rows.map((row) => (row.unread.length === 0 ? row : null));
      await this.#decoder.step(read, (logits) => {
        const ofRow = new Map(rows.map((row, slot) => [row, logits[slot] as Float32Array]));
        for (const job of jobs) {
          const ofJob = job.rows.map((row) => ofRow.get(row) as Float32Array);
          written.take(job, ofJob);
        }
      });
      const took = performance.now() - start;
      for (const row of writing) row.past += 1;
      for (const job of jobs) job.timings.decode = (job.timings.decode ?? 0) + took;
      written.goOn();
    });
    return writing.length;
  }

  /**
   * What a run writes: `take` tells a job's tokens as soon as there are logits, `goOn` makes its rows those of its next step,
   * which copies slots, so that keys and values must be in them.
   */
  #written() {
    const next = new Map<Writing, readonly Continuation[]>();
    return {
      take: (job: Writing, logits: readonly Float32Array[]) => {
        const advanced = job.decoding.advance(logits);
        for (const { choice, tokens } of advanced.emitted) {
          if (tokens.length > 0) this.#emit(job.id, { type: 'tokens', choice, tokens });
        }
        next.set(job, advanced.next);
      },
      goOn: () => {
        for (const [job, rows] of next) {
          this.#rows.goOn(job, rows);
          if (rows.length > 0) continue;
          const { choices } = job.decoding;
          this.#emit(job.id, { type: 'done', choices, timings: job.timings });
        }
      },
    };
  }

  /** A run that fails takes down the jobs in it, and only those. */
  async #guard(entries: readonly Entry[], run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      for (const { id, requestId } of entries) {
        this.#forget(id);
        const failed = { type: 'failed', error: serializeError(error) } as const;
        this.#emit(id, requestId === undefined ? failed : { ...failed, requestId });
      }
    }
  }
}

function strategyFor(options: StrategyOptions): DecodingStrategy {
  return options.config.num_beams > 1 ? new BeamSearch(options) : new Sampling(options);
}

/** Embeddings name their image by what they are: a miss and a hit have the same, rounded alike. */
function keyOf({ buffer, byteOffset, byteLength }: Float32Array): string {
  return createHash('sha256')
    .update(new Uint8Array(buffer, byteOffset, byteLength))
    .digest('base64');
}
