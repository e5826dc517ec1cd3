/**
 * Keys and values of all running sequences, in buffers that JavaScript owns and onnxruntime reads in place.
 *
 * For each layer a key and a value plane, float32 [slots, heads, capacity, headDim]. Running sequences hold
 * the slots 0 … n−1 without gaps, so any range of slots is one `subarray` and one tensor without a copy.
 */
import { Tensor } from 'onnxruntime-node';

export type KvShape = { layers: number; heads: number; headDim: number; maxPositions: number };

/** Positions of a slot are a multiple of this, as far as the model has them: sums over them then end alike (builder/README.md). */
const POSITIONS = 64;
/** Slots come in pairs, since runs have an even number of rows. */
const FIRST_SLOTS = 2;

/** A run's cost and the memory grow with both, so they start small. */
type Room = { slots: number; positions: number };

export class KvCache {
  readonly shape: KvShape;
  #room: Room;
  #planes: Float32Array[];

  constructor(shape: KvShape) {
    this.shape = shape;
    this.#room = this.#first();
    this.#planes = this.#allocate(this.#room);
  }

  /** Slots there are now. */
  get slots(): number {
    return this.#room.slots;
  }

  /** Positions that fit a slot now. */
  get capacity(): number {
    return this.#room.positions;
  }

  get bytes(): number {
    return this.#planes.reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  /** Grows until so many slots of so many positions fit; what is in them stays. */
  reserve({ slots, positions }: Room): void {
    const { maxPositions } = this.shape;
    if (positions > maxPositions) throw new Error(`${positions} positions do not fit`);
    const now = this.#room;
    // A quarter more at the least, so that long texts do not copy what they have for every few positions.
    const wanted = positions > now.positions ? Math.max(positions, 1.25 * now.positions) : 0;
    const room = {
      slots: Math.max(now.slots, slots),
      positions: Math.max(
        now.positions,
        Math.min(Math.ceil(wanted / POSITIONS) * POSITIONS, maxPositions),
      ),
    };
    if (room.slots !== now.slots || room.positions !== now.positions) this.#resize(room);
  }

  /** Back to the first size; only while nothing runs, since what is in the slots is lost. */
  reset(): void {
    const first = this.#first();
    if (first.slots === this.slots && first.positions === this.capacity) return;
    this.#room = first;
    this.#planes = this.#allocate(first);
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
    const dims = [count, heads, this.capacity, headDim];
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
        const to = slot * size + (head * this.capacity + start) * headDim;
        // Plain loops: set(subarray) per head costs several times more at this size.
        for (let i = 0; i < count; i++) {
          const value = fresh[from + i] as number;
          // A step masks what a slot held before, and nothing masks NaN or infinity: they must not outlive their text.
          plane[to + i] = value - value === 0 ? value : 0;
        }
      }
    }
  }

  /** A copy of some positions of a slot, float32 [layers, 2, heads, end − start, headDim]. */
  read(slot: number, { start, end }: { start: number; end: number }): Float32Array {
    const { heads, headDim } = this.shape;
    const size = (end - start) * headDim;
    const values = new Float32Array(this.#planes.length * heads * size);
    for (const [index, plane] of this.#planes.entries()) {
      for (let head = 0; head < heads; head++) {
        const from = slot * this.#slotSize() + (head * this.capacity + start) * headDim;
        values.set(plane.subarray(from, from + size), (index * heads + head) * size);
      }
    }
    return values;
  }

  /** Makes the positions `start` … `end` − 1 of slot `to` those of slot `from`. */
  copy(from: number, to: number, { start, end }: { start: number; end: number }): void {
    if (from === to || start >= end) return;
    const { heads, headDim } = this.shape;
    const size = this.#slotSize();
    for (const plane of this.#planes) {
      for (let head = 0; head < heads; head++) {
        const at = head * this.capacity * headDim;
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
    return this.shape.heads * this.capacity * this.shape.headDim;
  }

  #first(): Room {
    return { slots: FIRST_SLOTS, positions: Math.min(POSITIONS, this.shape.maxPositions) };
  }

  #allocate(room: Room): Float32Array[] {
    return Array.from({ length: 2 * this.shape.layers }, () => this.#plane(room));
  }

  #plane({ slots, positions }: Room): Float32Array {
    return new Float32Array(slots * this.shape.heads * positions * this.shape.headDim);
  }

  /** A plane at a time, each given back at once: the cache is never there twice. */
  #resize(room: Room): void {
    const { heads, headDim } = this.shape;
    const { slots, positions } = this.#room;
    for (const [index, old] of this.#planes.entries()) {
      const plane = this.#plane(room);
      const size = positions * headDim;
      for (let head = 0; head < slots * heads; head++) {
        plane.set(old.subarray(head * size, (head + 1) * size), head * room.positions * headDim);
      }
      this.#planes[index] = plane;
      (old.buffer as ArrayBuffer).transfer(0);
    }
    this.#room = room;
  }
}
