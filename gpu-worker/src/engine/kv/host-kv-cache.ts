/**
 * Keys and values of all running sequences, in buffers that JavaScript owns and onnxruntime reads in place.
 *
 * For each layer a key and a value plane, float32 [slots, heads, capacity, headDim], which is what a buffer begins with.
 * Running sequences hold the slots 0 … n−1 without gaps, so any range of slots is one `subarray` and one tensor without
 * a copy. Buffers are larger than their planes: the rest is addresses without memory (runtime/memory-tuning.ts). So
 * planes grow in place, and pages that one sequence has touched are mapped for the next: mapping new ones takes longer
 * than a step.
 */
import { Tensor } from 'onnxruntime-node';
import { MAPPED_BYTES } from '../../runtime/memory-tuning.ts';
import { freeBuffer } from '../../runtime/tensors.ts';
import { isFiniteRow } from '../finite.ts';
import { joined, rowsOf, sliceOf } from './host-rows.ts';
import {
  type Capacity,
  grownCapacity,
  initialCapacity,
  type KeysAndValues,
  type KvCache,
  type KvRows,
  type KvSegment,
  type KvShape,
  keysAndValues,
  type Range,
  type SlotMapping,
} from './kv-cache.ts';

const MAPPED = MAPPED_BYTES / Float32Array.BYTES_PER_ELEMENT;

/** For execution providers that read inputs from this process's memory. */
export class HostKvCache implements KvCache {
  readonly shape: KvShape;
  #capacity: Capacity;
  #buffers: Float32Array[];

  constructor(shape: KvShape) {
    this.shape = shape;
    this.#capacity = initialCapacity(shape);
    this.#buffers = this.#allocate(this.#firstLength());
  }

  /** Slots there are now. */
  get slots(): number {
    return this.#capacity.slots;
  }

  /** Positions that fit a slot now. */
  get positions(): number {
    return this.#capacity.positions;
  }

  get maxPositions(): number {
    return this.shape.maxPositions;
  }

  get bytes(): number {
    return Float32Array.BYTES_PER_ELEMENT * this.#buffers.length * this.slots * this.#slotSize();
  }

  reserve(wanted: Capacity): void {
    const now = this.#capacity;
    const grown = grownCapacity(now, wanted, this.shape);
    const { heads, headDim } = this.shape;
    const length = grown.slots * heads * grown.positions * headDim;
    if (length > this.#length) {
      const doublings = Math.ceil(Math.log2(length / this.#firstLength()));
      this.#enlarge(2 ** doublings * this.#firstLength());
    }
    if (grown.positions !== now.positions) this.#spread(grown.positions);
    this.#capacity = grown;
  }

  /** Slots without a sequence take no time: what is read of the cache is a view. */
  trim(): void {}

  /** Memory that was touched stays, and is used again before any other: never more than the largest capacity had. */
  shrink(most: Capacity): void {
    const slots = Math.min(this.slots, most.slots);
    const positions = Math.min(this.positions, most.positions);
    if (positions < this.positions) this.#compact(slots, positions);
    this.#capacity = { slots, positions };
  }

  /** Buffers that grew a lot are freed. */
  reset(): void {
    this.#capacity = initialCapacity(this.shape);
    const length = this.#firstLength();
    if (this.#length <= 2 * length) return;
    this.release();
    this.#buffers = this.#allocate(length);
  }

  /** Plane of a layer for a range of slots: float32 [count, heads, capacity, headDim], no copy. */
  view(layer: number, part: 'key' | 'value', firstSlot: number, count: number): Float32Array {
    const buffer = this.#buffers[2 * layer + (part === 'key' ? 0 : 1)] as Float32Array;
    const size = this.#slotSize();
    return buffer.subarray(firstSlot * size, (firstSlot + count) * size);
  }

  async feeds(firstSlot: number, count: number): Promise<KeysAndValues> {
    const { layers, heads, headDim } = this.shape;
    const dims = [count, heads, this.positions, headDim];
    const planes = Array.from({ length: 2 * layers }, (_, i) => {
      const view = this.view(Math.floor(i / 2), i % 2 === 0 ? 'key' : 'value', firstSlot, count);
      return new Tensor('float32', view, dims);
    });
    return keysAndValues(planes);
  }

  adopt(layers: readonly Tensor[]): KvRows {
    return rowsOf(layers);
  }

  async put({ layers }: KvRows, mappings: readonly SlotMapping[]): Promise<void> {
    for (const [layer, { data, dims }] of layers.entries()) {
      const [, positions = 0] = dims;
      for (const mapping of mappings) {
        this.#write(layer, data as Float32Array, positions, mapping);
      }
    }
  }

  async brokenRows({ layers }: KvRows, lengths: readonly number[]): Promise<number[]> {
    const isSound = (row: number, length: number) =>
      layers.every(({ data, dims: [, positions = 0, width = 0] }) => {
        const from = row * positions * width;
        return isFiniteRow((data as Float32Array).subarray(from, from + length * width));
      });
    return lengths.flatMap((length, row) => (isSound(row, length) ? [] : [row]));
  }

  async slice(rows: KvRows, row: number, positions: Range): Promise<KvRows> {
    return sliceOf(rows, row, positions);
  }

  async putSegments(slot: number, segments: readonly KvSegment[]): Promise<void> {
    let start = 0;
    for (const { values, length } of segments) {
      await this.put(values, [{ row: 0, slot, start, length }]);
      start += length;
    }
  }

  async join(segments: readonly KvSegment[]): Promise<KvRows> {
    return joined(segments);
  }

  /** Copies one row of a layer's new keys and values, [rows, positions, 2, heads, headDim], into a slot. */
  #write(
    layer: number,
    fresh: Float32Array,
    positions: number,
    { row, slot, start, length }: SlotMapping,
  ): void {
    const { heads, headDim } = this.shape;
    let from = row * positions * 2 * heads * headDim;
    for (let position = start; position < start + length; position++) {
      for (const part of [0, 1]) {
        const plane = this.#buffers[2 * layer + part] as Float32Array;
        for (let head = 0; head < heads; head++) {
          const to = ((slot * heads + head) * this.positions + position) * headDim;
          // Plain loops: set(subarray) per head costs several times more at this size.
          for (let i = 0; i < headDim; i++) {
            const value = fresh[from++] as number;
            // A step masks what a slot held before, and nothing masks NaN or infinity.
            plane[to + i] = value - value === 0 ? value : 0;
          }
        }
      }
    }
  }

  copy(from: number, to: number, { start, end }: Range): void {
    if (from === to || start >= end) return;
    const { heads, headDim } = this.shape;
    const size = this.#slotSize();
    for (const plane of this.#buffers) {
      for (let head = 0; head < heads; head++) {
        const at = head * this.positions * headDim;
        const source = from * size + at;
        plane.copyWithin(
          to * size + at + start * headDim,
          source + start * headDim,
          source + end * headDim,
        );
      }
    }
  }

  release(): void {
    for (const buffer of this.#buffers) freeBuffer(buffer);
  }

  /** Of the smallest: where memory ran out while they grew, some are larger than others. */
  get #length(): number {
    return Math.min(...this.#buffers.map(({ length }) => length));
  }

  #slotSize(): number {
    return this.shape.heads * this.positions * this.shape.headDim;
  }

  /** Large enough to be mapped apart; of a small model, not worth it. */
  #firstLength(): number {
    const { heads, headDim } = this.shape;
    const { slots, positions } = initialCapacity(this.shape);
    const length = slots * heads * positions * headDim;
    return length < MAPPED / 64 ? length : Math.max(length, MAPPED);
  }

  #allocate(length: number): Float32Array[] {
    return Array.from({ length: 2 * this.shape.layers }, () => new Float32Array(length));
  }

  /** A buffer at a time, each freed at once: memory never holds the cache twice. */
  #enlarge(length: number): void {
    const used = this.slots * this.#slotSize();
    for (const [index, old] of this.#buffers.entries()) {
      const buffer = new Float32Array(length);
      buffer.set(old.subarray(0, used));
      this.#buffers[index] = buffer;
      freeBuffer(old);
    }
  }

  /** Takes the room behind so many positions of each head away, the first head first. */
  #compact(slots: number, positions: number): void {
    const { heads, headDim } = this.shape;
    const [from, to] = [this.positions * headDim, positions * headDim];
    for (const buffer of this.#buffers) {
      for (let head = 1; head < slots * heads; head++) {
        buffer.copyWithin(head * to, head * from, head * from + to);
      }
    }
  }

  /** Makes room behind the positions of each head, the last head first. The room has old values, which are finite. */
  #spread(capacity: number): void {
    const { heads, headDim } = this.shape;
    const [from, to] = [this.positions * headDim, capacity * headDim];
    for (const buffer of this.#buffers) {
      for (let head = this.slots * heads - 1; head > 0; head--) {
        buffer.copyWithin(head * to, head * from, (head + 1) * from);
      }
    }
  }
}
