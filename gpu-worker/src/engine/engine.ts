/** The engine loop: encode, prefill, one decode step for every running sequence, and again. */
import type { GpuTimings } from '@blip2/shared/wire';
import { KvCache } from './kv-cache.ts';
import type { EngineOptions, Job, JobEvent } from './messages.ts';
import type { Runner } from './runner.ts';
import { type Action, nextAction } from './scheduler.ts';
import { Sequence } from './sequence.ts';

/** A job on its way; `sequence` is there once it generates. */
type Entry = {
  id: number;
  job: Job;
  submittedAt: number;
  timings: GpuTimings;
  embeddings?: Float32Array;
  sequence?: Sequence;
};

export class Engine {
  readonly #runner: Runner;
  readonly #options: EngineOptions;
  readonly #cache: KvCache;
  readonly #emit: (id: number, event: JobEvent) => void;
  #toEncode: Entry[] = [];
  #toPrefill: Entry[] = [];
  /** Index in this list = slot in the cache. */
  readonly #running: Entry[] = [];
  #last: Action['kind'] = 'wait';

  constructor(runner: Runner, options: EngineOptions, emit: (id: number, event: JobEvent) => void) {
    this.#runner = runner;
    this.#options = options;
    this.#emit = emit;
    const { layers, heads, head_dim, max_positions } = options.manifest.decoder;
    const shape = { layers, heads, headDim: head_dim, maxPositions: max_positions };
    this.#cache = new KvCache(shape, options.maxSlots);
  }

  submit(id: number, job: Job): void {
    const entry: Entry = { id, job, submittedAt: performance.now(), timings: { queue: 0 } };
    if (job.source.kind === 'pixels') this.#toEncode.push(entry);
    else this.#withEmbeddings(entry, job.source.values);
  }

  /** Forgets a job; its slot is free before the next step. */
  cancel(id: number): void {
    this.#toEncode = this.#toEncode.filter((entry) => entry.id !== id);
    this.#toPrefill = this.#toPrefill.filter((entry) => entry.id !== id);
    const slot = this.#running.findIndex((entry) => entry.id === id);
    if (slot >= 0) this.#free(slot);
  }

  /** Does one thing. @returns false when there was nothing to do */
  async advance(): Promise<boolean> {
    const action = nextAction(
      {
        waitingForEncode: this.#toEncode.length,
        waitingForPrefill: this.#toPrefill.length,
        running: this.#running.length,
        slots: this.#options.maxSlots,
      },
      this.#last,
    );
    this.#last = action.kind;
    switch (action.kind) {
      case 'wait':
        this.#cache.reset();
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
      const features = await this.#runner.encode(source.pixels);
      const encoded = performance.now();
      const exact = await this.#runner.query(features);
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

  #withEmbeddings(entry: Entry, values: Float32Array): void {
    const { generate } = entry.job;
    if (generate === undefined) {
      this.#emit(entry.id, { type: 'done', completionTokens: 0, timings: entry.timings });
      return;
    }
    entry.embeddings = values;
    const eos = this.#options.manifest.eos_token_ids;
    entry.sequence = new Sequence(entry.id, generate.inputIds, generate.sampling, eos);
    this.#toPrefill.push(entry);
  }

  async #prefill(count: number): Promise<void> {
    const entries = this.#toPrefill.splice(0, count);
    const firstSlot = this.#running.length;
    this.#running.push(...entries);
    const start = performance.now();
    for (const { timings, submittedAt } of entries) {
      const encoding = (timings.vision ?? 0) + (timings.qformer ?? 0);
      timings.queue = Math.max(0, start - submittedAt - encoding);
    }
    await this.#guard(entries, async () => {
      const sequences = entries.map(({ sequence }) => sequence as Sequence);
      const images = entries.map(({ embeddings }) => embeddings as Float32Array);
      const queries = this.#options.manifest.num_query_tokens;
      const inputIds = sequences.map((sequence) => sequence.inputIds);
      this.#cache.reserve(queries + Math.max(...inputIds.map((ids) => ids.length)));
      const past = entries.map(() => 0);
      const logits = await this.#runner.decode({ firstSlot, inputIds, past, images }, this.#cache);
      const took = performance.now() - start;
      for (const [i, entry] of entries.entries()) {
        entry.timings.prefill = took;
        const sequence = sequences[i] as Sequence;
        sequence.past = queries + sequence.inputIds.length;
        this.#take(entry, logits[i] as Float32Array);
      }
    });
    this.#freeFinished();
  }

  async #step(): Promise<void> {
    const entries = [...this.#running];
    await this.#guard(entries, async () => {
      const start = performance.now();
      const sequences = entries.map(({ sequence }) => sequence as Sequence);
      const past = sequences.map((sequence) => sequence.past);
      this.#cache.reserve(Math.max(...past) + 1);
      const inputIds = sequences.map((sequence) => [sequence.lastToken]);
      const logits = await this.#runner.decode({ firstSlot: 0, inputIds, past }, this.#cache);
      const took = performance.now() - start;
      for (const [i, entry] of entries.entries()) {
        entry.timings.decode = (entry.timings.decode ?? 0) + took;
        (sequences[i] as Sequence).past += 1;
        this.#take(entry, logits[i] as Float32Array);
      }
    });
    this.#freeFinished();
  }

  #take({ id, sequence, timings }: Entry, logits: Float32Array): void {
    if (sequence === undefined) return;
    const token = sequence.next(logits);
    if (token !== null) this.#emit(id, { type: 'token', token });
    if (sequence.finishReason === null) return;
    const { finishReason, tokens } = sequence;
    this.#emit(id, { type: 'done', finishReason, completionTokens: tokens.length, timings });
  }

  #freeFinished(): void {
    for (let slot = this.#running.length - 1; slot >= 0; slot--) {
      if (this.#running[slot]?.sequence?.finishReason !== null) this.#free(slot);
    }
  }

  /** The last running sequence moves into the free slot, so that the slots have no gaps. */
  #free(slot: number): void {
    const last = this.#running.length - 1;
    this.#cache.move(last, slot);
    this.#running[slot] = this.#running[last] as Entry;
    this.#running.pop();
  }

  /** A run that fails takes down the jobs in it, and only those. */
  async #guard(entries: readonly Entry[], run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      for (const { id } of entries) {
        this.cancel(id);
        this.#emit(id, { type: 'failed', message: String(error) });
      }
    }
  }
}
