/** Which text holds which slot of the cache: the rows of a decode step, without gaps. */

import type { Continuation, DecodingStrategy } from './decoding/strategy.ts';
import type { Entry } from './image-queue.ts';
import type { Decoder, DecoderPrompt } from './models/decoder.ts';

/** A job whose text is being written. `rows` in the order its decoding counts them. */
export type Writing = Entry & { decoding: DecodingStrategy; prompt: DecoderPrompt; rows: Row[] };

/** `past`: positions it has in the cache; `token`: what it reads next; `unread`: ids of its prompt still to be read. */
export type Row = {
  owner: Writing;
  slot: number;
  past: number;
  token: number;
  unread: readonly number[];
};

export class Rows {
  readonly #decoder: Decoder;
  /** Index in this list = slot in the cache. */
  readonly #rows: Row[] = [];

  constructor(decoder: Decoder) {
    this.#decoder = decoder;
  }

  /** In the order of their slots. */
  get all(): readonly Row[] {
    return this.#rows;
  }

  /** Rows that are being written, their prompts read. */
  get running(): number {
    return this.#rows.filter(({ unread }) => unread.length === 0).length;
  }

  /** Slots that jobs hold or may still ask for. */
  get reserved(): number {
    const jobs = new Set(this.#rows.map(({ owner }) => owner));
    return [...jobs].reduce((sum, { decoding }) => sum + decoding.width, 0);
  }

  /** The one row that a job begins with. */
  begin(owner: Writing, { past, unread }: Pick<Row, 'past' | 'unread'>): Row {
    const row = this.#add({ owner, past, unread, token: Number.NaN });
    owner.rows = [row];
    return row;
  }

  /**
   * Makes a job's rows those of its next step; without any its slots are free. A row goes on in its own slot; where
   * several go on from one, the others take what is left or new slots.
   */
  goOn(job: Writing, next: readonly Continuation[]): void {
    const before = job.rows;
    const kept = new Set<Row>();
    const inPlace = next.map(({ parent }) => {
      const row = before[parent] as Row;
      if (kept.has(row)) return null;
      kept.add(row);
      return row;
    });
    const spare = before.filter((row) => !kept.has(row));
    job.rows = next.map(({ parent, token }, i) => {
      const row = inPlace[i] ?? this.#fork(before[parent] as Row, spare.pop());
      row.token = token;
      return row;
    });
    for (const row of spare) this.#free(row);
  }

  /** Frees what a job holds. */
  forget(id: number): void {
    for (const row of this.#rows.filter(({ owner }) => owner.id === id)) this.#free(row);
  }

  /** A row that is what `source` is, in place of `target` or in a new slot. */
  #fork(source: Row, target: Row | undefined): Row {
    // Rows of one job have its prompt in common.
    const start = target === undefined ? 0 : this.#decoder.positionsOf(source.owner.prompt);
    const row = target ?? this.#add(source);
    this.#decoder.copy(source.slot, row.slot, { start, end: source.past });
    row.past = source.past;
    return row;
  }

  #add({ owner, past, token, unread }: Omit<Row, 'slot'>): Row {
    const row = { owner, slot: this.#rows.length, past, token, unread };
    this.#rows.push(row);
    return row;
  }

  /** The last row moves into the free slot, so that the slots have no gaps. */
  #free({ slot }: Row): void {
    const last = this.#rows.pop() as Row;
    if (last.slot === slot) return;
    this.#decoder.copy(last.slot, slot, { start: 0, end: last.past });
    last.slot = slot;
    this.#rows[slot] = last;
  }
}
