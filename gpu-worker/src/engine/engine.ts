/** The engine loop: encode, prefill, one decode step for every running row, and again. */
import { createHash } from 'node:crypto';
import type { Decoder, DecoderPrompt } from './decoder.ts';
import { createDecoding, type Decoding, type Turn } from './decoding.ts';
import { type Entry, ImageWork } from './image-work.ts';
import type { EngineOptions, Job, JobEvent } from './messages.ts';
import type { Observation } from './observation.ts';
import type { EngineParts } from './parts.ts';
import { type Action, nextAction } from './scheduler.ts';

/** A job whose text is being written. `rows` in the order its decoding counts them. */
type Writing = Entry & {
  decoding: Decoding;
  prompt: DecoderPrompt;
  rows: Row[];
};

/** One row of a decode step. `past`: positions it has in the cache; `token`: what it reads next. */
type Row = { owner: Writing; slot: number; past: number; token: number };

export class Engine {
  readonly #decoder: Decoder;
  readonly #options: EngineOptions;
  readonly #emit: (id: number, event: JobEvent) => void;
  readonly #observe: (observation: Observation) => void;
  readonly #images: ImageWork;
  #toPrefill: Writing[] = [];
  /** Index in this list = slot in the cache. */
  readonly #running: Row[] = [];
  readonly #cancelled = new Set<number>();
  #last: Action['kind'] = 'wait';

  constructor(
    parts: EngineParts,
    options: EngineOptions,
    emit: (id: number, event: JobEvent) => void,
    observe: (observation: Observation) => void = () => {},
  ) {
    this.#observe = observe;
    this.#decoder = parts.decoder;
    this.#options = options;
    this.#emit = emit;
    this.#images = new ImageWork(parts, {
      emit,
      onEmbeddings: (entry, values) => this.#withEmbeddings(entry, values),
    });
  }

  submit(id: number, job: Job): void {
    this.#images.submit({ id, job, submittedAt: performance.now(), timings: { queue: 0 } });
  }

  /** Forgets a job before the next action: while one runs, the slots must stay what they are. */
  cancel(id: number): void {
    this.#cancelled.add(id);
  }

  #forget(id: number): void {
    this.#images.forget(id);
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
        waitingForEncode: this.#images.waiting,
        waitingForPrefill: this.#toPrefill.map(({ decoding }) => decoding.width),
        running: this.#running.length,
        free: this.#options.maxSlots - slots,
      },
      this.#last,
    );
    this.#last = action.kind;
    if (action.kind === 'wait') {
      this.#decoder.reset();
      return false;
    }
    const start = performance.now();
    const rows = action.kind === 'prefill' ? action.count : this.#running.length;
    if (action.kind === 'encode') await this.#images.advance();
    else if (action.kind === 'prefill') await this.#prefill(action.count);
    else await this.#step();
    this.#observe({
      action: action.kind === 'encode' ? 'images' : action.kind,
      startedAt: performance.timeOrigin + start,
      ms: performance.now() - start,
      rows: action.kind === 'encode' ? 0 : rows,
      waiting: { images: this.#images.waiting, prefill: this.#toPrefill.length },
      running: this.#running.length,
      memory: this.#decoder.memory,
    });
    return true;
  }

  #withEmbeddings(entry: Entry, image: Float32Array): void {
    const { job } = entry;
    if (job.kind !== 'generate') return;
    const prompt = { key: keyOf(image), image, ids: job.inputIds };
    const decoding = createDecoding({
      config: job.config,
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

/** Embeddings name their picture by what they are: a miss and a hit have the same, rounded alike. */
function keyOf({ buffer, byteOffset, byteLength }: Float32Array): string {
  return createHash('sha256')
    .update(new Uint8Array(buffer, byteOffset, byteLength))
    .digest('base64');
}
