/**
 * A decoder without a model, for tests of what is around one. Its logits are a hash of all that a row's slot holds and
 * of what the row reads: a sequence that gets another's keys and values, or too few of them, gets other tokens.
 */
import { Tensor } from 'onnxruntime-node';
import { seededRandom } from '../decoding/sample-token.ts';
import { HostKvCache } from '../kv/host-kv-cache.ts';
import type { Capacity, KvCache, Range } from '../kv/kv-cache.ts';
import type { Decoder, ForwardBatch, PrefillRow, Prompt } from '../models/decoder.ts';
import { ForwardOutput } from '../models/forward-output.ts';

/** Token 0 ends a sequence, 1 is an image position. */
export const VOCAB = 32;

/** A key is the number of its position: a token id, or a query embedding. */
export const FAKE_SHAPE = { layers: 1, heads: 1, headDim: 1, maxPositions: 512 };

/** What a row of a pass reads: numbers of its new positions. */
type Row = { past: number; values: readonly number[] };

export class FakeDecoder implements Decoder {
  readonly isCausal: boolean;
  readonly imagePositions = 2;
  readonly cache: KvCache;
  /** What was computed, in order. */
  readonly batches: ForwardBatch[] = [];
  /** Every pass waits for this before it computes; where it rejects, the pass fails. */
  gate: (batch: ForwardBatch) => Promise<void> = async () => {};
  /** Changes the logits of a row that attends to these numbers. */
  adjust: (logits: Float32Array, attended: readonly number[]) => void = () => {};
  /** Whether its memory was freed after the last pass. */
  wasReset = false;

  /** @param cache of `FAKE_SHAPE` */
  constructor({ isCausal = true, cache = new HostKvCache(FAKE_SHAPE) as KvCache } = {}) {
    this.isCausal = isCausal;
    this.cache = cache;
  }

  get usage() {
    return { kvBytes: this.cache.bytes, deviceTensors: 0 };
  }

  cachedPositions(textIds: number): number {
    return this.imagePositions + textIds;
  }

  promptTokenIds({ ids }: Prompt): number[] {
    return [...Array<number>(this.imagePositions).fill(1), ...ids];
  }

  async forward(batch: ForwardBatch): Promise<ForwardOutput> {
    this.batches.push(batch);
    this.wasReset = false;
    await this.gate(batch);
    const firstSlot = batch.kind === 'prefill' ? batch.firstSlot : 0;
    const rows: Row[] =
      batch.kind === 'prefill'
        ? batch.rows.map((row) => this.#prefillRow(row))
        : batch.rows.map((row) =>
            row === null
              ? { past: 0, values: [] }
              : { past: row.cachedPositions, values: [row.nextToken] },
          );
    // As a tensor of ids would: one row that has none fails the pass.
    if (batch.kind === 'decode') for (const { values } of rows) values.map(BigInt);
    if (batch.kind === 'decode') this.cache.trim(rows.length);
    const positions = Math.max(...rows.map(({ values }) => values.length));
    const ends = rows.map(({ past }) => past + positions);
    this.cache.reserve({ slots: firstSlot + rows.length, positions: Math.max(...ends) });
    const { keys } = await this.cache.feeds(firstSlot, rows.length);
    const logits = new Float32Array(rows.length * VOCAB);
    const keysAndValues = new Float32Array(rows.length * positions * 2);
    for (const [i, { past, values }] of rows.entries()) {
      const attended = [...slotValues(keys[0] as Tensor, i, past), ...values];
      const own = logitsOf(attended);
      this.adjust(own, attended);
      logits.set(own, i * VOCAB);
      for (const [j, value] of values.entries()) keysAndValues[(i * positions + j) * 2] = value;
    }
    return new ForwardOutput({
      logits,
      runRows: rows.length,
      batchRows: rows.length,
      keysAndValues: this.cache.adopt([
        new Tensor('float32', keysAndValues, [rows.length, positions, 2]),
      ]),
      cache: this.cache,
      mappings: rows.map(({ past, values }, row) => ({
        row,
        slot: firstSlot + row,
        start: past,
        length: values.length,
      })),
    });
  }

  copySlot(from: number, to: number, positions: Range): void {
    this.cache.reserve({ slots: to + 1, positions: positions.end });
    this.cache.copy(from, to, positions);
  }

  shrink(most: Capacity): void {
    this.cache.shrink(most);
  }

  reset(): void {
    this.cache.reset();
    this.wasReset = true;
  }

  async release(): Promise<void> {
    this.cache.release();
  }

  #prefillRow({ prompt, positions: { start, end } }: PrefillRow): Row {
    const values = [...prompt.queryEmbeddings, ...prompt.ids].slice(start, end);
    return { past: start, values };
  }
}

/** The numbers of a slot's first positions. */
function slotValues({ data, dims }: Tensor, slot: number, positions: number): number[] {
  const [, , capacity = 0] = dims;
  return [...(data as Float32Array).subarray(slot * capacity, slot * capacity + positions)];
}

/** The logits of a model that has read these numbers, float32 [VOCAB]. */
export function logitsOf(values: readonly number[]): Float32Array {
  const hash = values.reduce(
    (sum, value) => Math.imul(sum ^ (value * 1000), 0x01000193),
    0x811c9dc5,
  );
  const random = seededRandom(hash >>> 0);
  return Float32Array.from({ length: VOCAB }, () => 8 * random());
}

/** A prompt about the image number `image`. */
export function promptAbout(image: number, ...ids: number[]): Prompt {
  return { imageKey: `image ${image}`, queryEmbeddings: Float32Array.of(image, -image), ids };
}
