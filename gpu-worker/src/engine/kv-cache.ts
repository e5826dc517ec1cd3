/**
 * Keys and values of all running sequences, in buffers that JavaScript owns and onnxruntime reads in place.
 *
 * For each layer a key and a value plane, float32 [slots, heads, capacity, headDim]. Running sequences hold
 * the slots 0 … n−1 without gaps, so any range of slots is one `subarray` and one tensor without a copy.
 */
import { Tensor } from 'onnxruntime-node';

export type KvShape = { layers: number; heads: number; headDim: number; maxPositions: number };

/** Positions a slot starts with; a run's cost grows with the capacity, so it starts small and doubles. */
const FIRST_CAPACITY = 64;

export class KvCache {
  readonly shape: KvShape;
  readonly slots: number;
  #capacity: number;
  #planes: Float32Array[];

  constructor(shape: KvShape, slots: number) {
    this.shape = shape;
    this.slots = slots;
    this.#capacity = Math.min(FIRST_CAPACITY, shape.maxPositions);
    this.#planes = this.#allocate(this.#capacity);
  }

  /** Positions that fit a slot now. */
  get capacity(): number {
    return this.#capacity;
  }

  get bytes(): number {
    return this.#planes.reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  /** Doubles the slots until `positions` fit; what is in them stays. */
  reserve(positions: number): void {
    if (positions > this.shape.maxPositions) throw new Error(`${positions} positions do not fit`);
    let capacity = this.#capacity;
    while (capacity < positions) capacity = Math.min(2 * capacity, this.shape.maxPositions);
    if (capacity !== this.#capacity) this.#resize(capacity);
  }

  /** Back to the first capacity; only while nothing runs, since what is in the slots is lost. */
  reset(): void {
    const capacity = Math.min(FIRST_CAPACITY, this.shape.maxPositions);
    if (capacity === this.#capacity) return;
    this.#capacity = capacity;
    this.#planes = this.#allocate(capacity);
  }

  /** Plane of a layer for a range of slots: float32 [count, heads, capacity, headDim], no copy. */
  view(layer: number, part: 'key' | 'value', firstSlot: number, count: number): Float32Array {
    const plane = this.#planes[2 * layer + (part === 'key' ? 0 : 1)] as Float32Array;
    const size = this.#slotSize();
    return plane.subarray(firstSlot * size, (firstSlot + count) * size);
  }

  /** The planes of a range of slots as inputs `<prefix>_key.<layer>` and `<prefix>_value.<layer>`. */
  feeds(prefix: string, firstSlot: number, count: number): Record<string, Tensor> {
    const { layers, heads, headDim } = this.shape;
    const dims = [count, heads, this.#capacity, headDim];
    const feeds: Record<string, Tensor> = {};
    for (let layer = 0; layer < layers; layer++) {
      for (const part of ['key', 'value'] as const) {
        const view = this.view(layer, part, firstSlot, count);
        feeds[`${prefix}_${part}.${layer}`] = new Tensor('float32', view, dims);
      }
    }
    return feeds;
  }

  /**
   * Copies one row of a run's result into a slot.
   * @param fresh float32 [layers, 2, rows, heads, positions, headDim]
   * @param start position in the slot at which the first copied one lands
   * @param length how many of the row's positions are real
   */
  write(
    fresh: Float32Array,
    { row, rows, positions }: { row: number; rows: number; positions: number },
    { slot, start, length }: { slot: number; start: number; length: number },
  ): void {
    const { heads, headDim } = this.shape;
    const size = this.#slotSize();
    const count = length * headDim;
    for (const [index, plane] of this.#planes.entries()) {
      for (let head = 0; head < heads; head++) {
        const from = ((index * rows + row) * heads + head) * positions * headDim;
        const to = slot * size + (head * this.#capacity + start) * headDim;
        // Plain loops: set(subarray) per head costs several times more at this size.
        for (let i = 0; i < count; i++) plane[to + i] = fresh[from + i] as number;
      }
    }
  }

  /** Makes the positions `start` … `end` − 1 of slot `to` those of slot `from`. */
  copy(from: number, to: number, { start, end }: { start: number; end: number }): void {
    if (from === to || start >= end) return;
    const { heads, headDim } = this.shape;
    const size = this.#slotSize();
    for (const plane of this.#planes) {
      for (let head = 0; head < heads; head++) {
        const at = head * this.#capacity * headDim;
        const source = from * size + at;
        plane.copyWithin(
          to * size + at + start * headDim,
          source + start * headDim,
          source + end * headDim,
        );
      }
    }
  }

  #slotSize(): number {
    return this.shape.heads * this.#capacity * this.shape.headDim;
  }

  #allocate(capacity: number): Float32Array[] {
    const { layers, heads, headDim } = this.shape;
    const length = this.slots * heads * capacity * headDim;
    return Array.from({ length: 2 * layers }, () => new Float32Array(length));
  }

  #resize(capacity: number): void {
    const { heads, headDim } = this.shape;
    const planes = this.#allocate(capacity);
    for (const [index, plane] of planes.entries()) {
      const old = this.#planes[index] as Float32Array;
      for (let head = 0; head < this.slots * heads; head++) {
        const from = head * this.#capacity * headDim;
        plane.set(old.subarray(from, from + this.#capacity * headDim), head * capacity * headDim);
      }
    }
    this.#planes = planes;
    this.#capacity = capacity;
  }
}
