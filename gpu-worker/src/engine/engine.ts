/** The engine loop: encode, prefill, one decode step for every running row, and again. */
import type { GpuTimings } from '@blip2/shared/wire';
import type { Decoder, DecoderPrompt } from './decoder.ts';
import { createDecoding, type Decoding, type Turn } from './decoding.ts';
import type { ImageRunner } from './image-runner.ts';
import type { EngineOptions, Job, JobEvent } from './messages.ts';
import { type Action, nextAction } from './scheduler.ts';

/** A job on its way. */
type Entry = { id: number; job: Job; submittedAt: number; timings: GpuTimings };

/** A job whose text is being written. `rows` in the order its decoding counts them. */
type Writing = Entry & {
  decoding: Decoding;
  prompt: DecoderPrompt;
  rows: Row[];
};

/** One row of a decode step. `past`: positions it has in the cache; `token`: what it reads next. */
type Row = { owner: Writing; slot: number; past: number; token: number };

export type EngineParts = { images: ImageRunner; decoder: Decoder };

export class Engine {
  readonly #images: ImageRunner;
  readonly #decoder: Decoder;
  readonly #options: EngineOptions;
  readonly #emit: (id: number, event: JobEvent) => void;
  #toEncode: Entry[] = [];
  #toPrefill: Writing[] = [];
  /** Index in this list = slot in the cache. */
  readonly #running: Row[] = [];
  readonly #cancelled = new Set<number>();
  #last: Action['kind'] = 'wait';

  constructor(
    { images, decoder }: EngineParts,
    options: EngineOptions,
    emit: (id: number, event: JobEvent) => void,
  ) {
    this.#images = images;
    this.#decoder = decoder;
    this.#options = options;
    this.#emit = emit;
  }

  submit(id: number, job: Job): void {
    const entry: Entry = { id, job, submittedAt: performance.now(), timings: { queue: 0 } };
    if (job.source.kind === 'pixels') this.#toEncode.push(entry);
    else this.#withEmbeddings(entry, job.source.values);
  }

  /** Forgets a job before the next action: while one runs, the slots must stay what they are. */
  cancel(id: number): void {
    this.#cancelled.add(id);
  }

  #forget(id: number): void {
    this.#toEncode = this.#toEncode.filter((entry) => entry.id !== id);
    this.#toPrefill = this.#toPrefill.filter((entry) => entry.id !== id);
    for (const row of this.#running.filter(({ owner }) => owner.id === id)) this.#free(row);
  }

  /** Does one thing. @returns false when there was nothing to do */
  async advance(): Promise<boolean> {
    for (const id of this.#cancelled) this.#forget(id);
    this.#cancelled.clear();
    const held = new Set(this.#running.map(({ owner }) => owner));
    const slots = [...held].reduce((sum, { decoding }) => sum + decoding.width, 0);
    const action = nextAction(
      {
        waitingForEncode: this.#toEncode.length,
        waitingForPrefill: this.#toPrefill.map(({ decoding }) => decoding.width),
        running: this.#running.length,
        free: this.#options.maxSlots - slots,
      },
      this.#last,
    );
    this.#last = action.kind;
    switch (action.kind) {
      case 'wait':
        this.#decoder.reset();
        return false;
      case 'encode':
        await this.#encode();
        return true;
      case 'prefill':
        await this.#prefill(action.count);
        return true;
      case 'step':
        await this.#step();
        return true;
    }
  }

  /** One picture, for every job that waits for it. Several in one run are no faster than one after another. */
  async #encode(): Promise<void> {
    const source = this.#toEncode[0]?.job.source;
    if (source?.kind !== 'pixels') return;
    const entries = this.#toEncode.filter(
      ({ job }) => job.source.kind === 'pixels' && job.source.key === source.key,
    );
    this.#toEncode = this.#toEncode.filter((entry) => !entries.includes(entry));
    for (const entry of entries) entry.timings.queue = performance.now() - entry.submittedAt;
    await this.#guard(entries, async () => {
      const start = performance.now();
      const features = await this.#images.encode(source.pixels);
      const encoded = performance.now();
      const exact = await this.#images.query(features);
      const done = performance.now();
      // Rounded as the cache keeps them: a miss and a hit must generate from the same numbers.
      const values = Float32Array.from(new Float16Array(exact));
      for (const entry of entries) {
        entry.timings.vision = encoded - start;
        entry.timings.qformer = done - encoded;
        this.#emit(entry.id, { type: 'embeddings', values });
        this.#withEmbeddings(entry, values);
      }
    });
  }

  #withEmbeddings(entry: Entry, image: Float32Array): void {
    const { generate } = entry.job;
    if (generate === undefined) {
      this.#emit(entry.id, { type: 'done', choices: [], timings: entry.timings });
      return;
    }
    const prompt = { image, ids: generate.inputIds };
    const decoding = createDecoding({
      config: generate.config,
      prompt: this.#decoder.seenOf(prompt),
      eos: this.#options.manifest.eos_token_ids,
    });
    this.#toPrefill.push({ ...entry, prompt, decoding, rows: [] });
  }

  async #prefill(count: number): Promise<void> {
    const jobs = this.#toPrefill.splice(0, count);
    const firstSlot = this.#running.length;
    for (const job of jobs) {
      this.#addRow(job, { past: this.#decoder.positionsOf(job.prompt), token: Number.NaN });
    }
    const start = performance.now();
    for (const { timings, submittedAt } of jobs) {
      const encoding = (timings.vision ?? 0) + (timings.qformer ?? 0);
      timings.queue = Math.max(0, start - submittedAt - encoding);
    }
    await this.#guard(jobs, async () => {
      const prompts = jobs.map(({ prompt }) => prompt);
      const logits = await this.#decoder.prefill(firstSlot, prompts);
      const took = performance.now() - start;
      for (const [i, job] of jobs.entries()) {
        job.timings.prefill = took;
        this.#take(job, job.decoding.advance([logits[i] as Float32Array]));
      }
    });
  }

  async #step(): Promise<void> {
    const rows = [...this.#running];
    const jobs = [...new Set(rows.map(({ owner }) => owner))];
    await this.#guard(jobs, async () => {
      const start = performance.now();
      const logits = await this.#decoder.step(rows);
      const took = performance.now() - start;
      for (const row of rows) row.past += 1;
      const bySlot = new Map(rows.map((row, slot) => [row, logits[slot] as Float32Array]));
      for (const job of jobs) {
        job.timings.decode = (job.timings.decode ?? 0) + took;
        this.#take(
          job,
          job.decoding.advance(job.rows.map((row) => bySlot.get(row) as Float32Array)),
        );
      }
    });
  }

  /** Tells what was written and makes the job's rows those of its next step. */
  #take(job: Writing, { written, next }: Turn): void {
    for (const { choice, tokens } of written) {
      if (tokens.length > 0) this.#emit(job.id, { type: 'tokens', choice, tokens });
    }
    // A row goes on in its own slot; where several go on from one, the others take what is left or new slots.
    const before = job.rows;
    const kept = new Set<Row>();
    const after = next.map(({ from }) => {
      const row = before[from] as Row;
      if (kept.has(row)) return null;
      kept.add(row);
      return row;
    });
    const spare = before.filter((row) => !kept.has(row));
    job.rows = next.map(({ from, token }, i) => {
      const source = before[from] as Row;
      const row = after[i] ?? this.#fork(source, spare.pop());
      row.token = token;
      return row;
    });
    for (const row of spare) this.#free(row);
    if (next.length > 0) return;
    this.#emit(job.id, { type: 'done', choices: job.decoding.choices, timings: job.timings });
  }

  /** A row that is what `source` is, in place of `target` or in a new slot. */
  #fork(source: Row, target: Row | undefined): Row {
    const { owner, past } = source;
    // Rows of one job have its prompt in common.
    const start = target === undefined ? 0 : this.#decoder.positionsOf(owner.prompt);
    const row = target ?? this.#addRow(owner, source);
    this.#decoder.copy(source.slot, row.slot, { start, end: past });
    row.past = past;
    return row;
  }

  #addRow(owner: Writing, { past, token }: Pick<Row, 'past' | 'token'>): Row {
    const row = { owner, slot: this.#running.length, past, token };
    this.#running.push(row);
    if (owner.rows.length === 0) owner.rows.push(row);
    return row;
  }

  /** The last row moves into the free slot, so that the slots have no gaps. */
  #free({ slot }: Row): void {
    const last = this.#running.pop() as Row;
    if (last.slot === slot) return;
    this.#decoder.copy(last.slot, slot, { start: 0, end: last.past });
    last.slot = slot;
    this.#running[slot] = last;
  }

  /** A run that fails takes down the jobs in it, and only those. */
  async #guard(entries: readonly Entry[], run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      for (const { id } of entries) {
        this.#forget(id);
        this.#emit(id, { type: 'failed', message: String(error) });
      }
    }
  }
}
