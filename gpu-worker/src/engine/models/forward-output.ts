/** The output of a decoder's pass: logits to read at once, and keys and values that are not in the slots yet. */
import { freeBuffer, rowsOf } from '../../runtime/tensors.ts';
import type { KvCache, KvRows, SlotMapping } from '../kv/kv-cache.ts';

export type Computed = {
  /** float32 [rows of the run, vocab]; freed with the output */
  logits: Float32Array;
  /** Rows of the run: the batch's, and padding rows behind them up to an even number. */
  runRows: number;
  batchRows: number;
  keysAndValues: KvRows;
  /** Where `commit` writes them. */
  cache: KvCache;
  mappings: readonly SlotMapping[];
};

/**
 * Tokens leave before keys and values are written: read `logits`, then `commit`. Free it with `using`.
 * @example
 * using out = await decoder.forward(batch);
 * emit(out.logits);
 * await out.commit();
 */
export class ForwardOutput implements Disposable {
  /** float32 [vocab] for each row of the batch, of its last position. Empty once committed. */
  readonly logits: readonly Float32Array[];
  /** Keys and values of the positions that were computed, until the output is freed. */
  readonly keysAndValues: KvRows;
  readonly #computed: Computed;

  constructor(computed: Computed) {
    this.logits = rowsOf(computed.logits, computed.runRows).slice(0, computed.batchRows);
    this.keysAndValues = computed.keysAndValues;
    this.#computed = computed;
  }

  /** Frees the logits, and writes keys and values into the slots. */
  async commit(): Promise<void> {
    const { cache, keysAndValues, mappings } = this.#computed;
    this.#freeLogits();
    await cache.put(keysAndValues, mappings);
  }

  /** Frees what it holds, committed or not. */
  [Symbol.dispose](): void {
    this.#freeLogits();
    this.keysAndValues[Symbol.dispose]();
  }

  #freeLogits(): void {
    const { logits } = this.#computed;
    if (logits.length > 0) freeBuffer(logits);
  }
}
