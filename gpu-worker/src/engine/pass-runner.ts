/** Runs one pass of the decoder: restore, forward, emit, commit, store. What fails of one request fails alone. */
import { even } from '../runtime/tensors.ts';
import type { Batch } from './batch.ts';
import { chooseTokens } from './choose-tokens.ts';
import type { ChoiceTokens, Continuation } from './decoding/strategy.ts';
import type { KvManager } from './kv/kv-manager.ts';
import type { Restored } from './kv/prefixes.ts';
import type { Decoder, ForwardBatch } from './models/decoder.ts';
import type { ForwardOutput } from './models/forward-output.ts';
import type { JobEvent } from './protocol.ts';
import type { EngineRequest, Sequence, SequenceGroup } from './sequence.ts';

/** The sequence of each row of the batch; null where a slot stays as it is. */
export type Pass = { rows: readonly (Sequence | null)[]; batch: ForwardBatch };

/** What becomes of the requests. */
export type PassListener = {
  emit: (request: EngineRequest, event: JobEvent) => void;
  /** Ends a request: frees its slots, and tells it why. */
  fail: (request: EngineRequest, thrown: unknown) => void;
};

type Computed = Restored & { out: ForwardOutput };

export class PassRunner {
  readonly #decoder: Decoder;
  readonly #kv: KvManager;
  readonly #batch: Batch;
  readonly #listener: PassListener;

  constructor(decoder: Decoder, kv: KvManager, batch: Batch, listener: PassListener) {
    this.#decoder = decoder;
    this.#kv = kv;
    this.#batch = batch;
    this.#listener = listener;
  }

  /**
   * A pass that computes nothing is run once more for each of its requests alone, so that only the one fails that makes it
   * fail: as many passes again at the most.
   */
  async run(pass: Pass): Promise<void> {
    const start = performance.now();
    let computed: Computed;
    try {
      computed = await this.#compute(pass);
    } catch (thrown) {
      const groups = groupsOf(pass);
      if (groups.length > 1) await this.#runEach(pass, groups);
      else this.#fail(groups, thrown);
      return;
    }
    using _out = computed.out;
    try {
      await this.#finish(pass, computed, start);
    } catch (thrown) {
      // Tokens have left: it cannot be run again.
      this.#fail(groupsOf(pass), thrown);
    }
  }

  async #compute({ batch: planned }: Pass): Promise<Computed> {
    const restored = await this.#kv.restorePrefixes(planned);
    return { ...restored, out: await this.#decoder.forward(restored.batch) };
  }

  /**
   * Slots may change between these passes, as groups fail, fork and end: each is planned when its turn comes. The last slots go
   * first: where a device had no room for them, they are gone before the others are run.
   */
  async #runEach(pass: Pass, groups: readonly SequenceGroup[]): Promise<void> {
    const lastSlots = new Map(groups.map((group) => [group, lastSlotOf(group)]));
    const order = groups.toSorted((a, b) => (lastSlots.get(b) ?? 0) - (lastSlots.get(a) ?? 0));
    for (const group of order) await this.run(this.#only(group, pass));
  }

  /** The part of a pass that is one group's. */
  #only(group: SequenceGroup, { rows, batch }: Pass): Pass {
    if (batch.kind === 'decode') {
      const own = this.#batch.sequences.map((one) => (one.group === group ? one : null));
      return { rows: own, batch: { kind: 'decode', rows: own } };
    }
    const row = rows.findIndex((one) => one?.group === group);
    const sequence = rows[row] as Sequence;
    return {
      rows: [sequence],
      batch: { kind: 'prefill', firstSlot: sequence.slot, rows: batch.rows.slice(row, row + 1) },
    };
  }

  /**
   * Tokens leave before keys and values are written: whoever waits for a token need not wait for that. Slots stay as they
   * are until then, those of groups that have failed as well.
   */
  async #finish({ rows }: Pass, { batch, broken, out }: Computed, start: number): Promise<void> {
    const computedAt = performance.now();
    const logits = out.logits.map((row, i) => (broken.has(i) ? undefined : row));
    const emit = ({ request }: SequenceGroup, tokens: ChoiceTokens) =>
      this.#listener.emit(request, { type: 'tokens', ...tokens });
    const { outputs, failures } = chooseTokens(rows, logits, emit);
    await out.commit();
    const sequences = rows.filter((row) => row !== null);
    this.#kv.recordCommit(batch, sequences);
    const committedAt = performance.now();
    const failed = rows.flatMap((one, row) => (one && failures.has(one.group) ? [row] : []));
    const unstored = await this.#kv.storePrefixes(batch, out.keysAndValues, new Set(failed));
    for (const [row, error] of unstored) failures.set((rows[row] as Sequence).group, error);
    const phase = batch.kind;
    const took = (phase === 'prefill' ? computedAt : committedAt) - start;
    for (const { timings } of groupsOf({ rows }).map(({ request }) => request)) {
      timings[phase] = (timings[phase] ?? 0) + took;
    }
    for (const [group, error] of failures) this.#fail([group], error);
    for (const [group, { next }] of outputs) {
      if (failures.has(group)) continue;
      try {
        this.#advance(group, next);
      } catch (thrown) {
        this.#fail([group], thrown);
      }
    }
  }

  #advance(group: SequenceGroup, next: readonly Continuation[]): void {
    this.#batch.advance(group, next);
    if (next.length > 0) return;
    const { request } = group;
    const { timings } = request;
    this.#listener.emit(request, { type: 'done', choices: group.strategy.choices, timings });
  }

  #fail(groups: readonly SequenceGroup[], thrown: unknown): void {
    for (const { request } of groups) this.#listener.fail(request, thrown);
    // What was reserved for them would have to fit with the next pass.
    const slots = even(Math.max(1, this.#batch.sequences.length));
    this.#decoder.shrink({ slots, positions: Infinity, crossPositions: Infinity });
  }
}

const lastSlotOf = ({ sequences }: SequenceGroup) => {
  return Math.max(...sequences.map(({ slot }) => slot));
};

function groupsOf({ rows }: Pick<Pass, 'rows'>): SequenceGroup[] {
  return [...new Set(rows.flatMap((sequence) => sequence?.group ?? []))];
}
