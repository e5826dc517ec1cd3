/**
 * Keys and values of all running sequences, in buffers that JavaScript owns and onnxruntime reads in place.
 *
 * For each layer a key and a value plane, float32 [slots, heads, capacity, headDim]. Running sequences hold
 * the slots 0 … n−1 without gaps, so any range of slots is one `subarray` and one tensor without a copy.
 */
import { Tensor } from 'onnxruntime-node';
import {
  firstRoom,
  grownRoom,
  type KvPlace,
  type KvRows,
  type KvShape,
  type KvStore,
  planeFeeds,
  type Range,
  type Room,
  rowNames,
} from './kv-store.ts';

export class KvCache implements KvStore {
  readonly shape: KvShape;
  #room: Room;
  #planes: Float32Array[];

  constructor(shape: KvShape) {
    this.shape = shape;
    this.#room = firstRoom(shape);
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
  reserve(wanted: Room): void {
    const now = this.#room;
    const room = grownRoom(now, wanted, this.shape);
    if (room.slots !== now.slots || room.positions !== now.positions) this.#resize(room);
  }

  /** Slots that are nobody's cost nothing: what is read of the cache is a view. */
  trim(): void {}

  /** Back to the first size; only while nothing runs, since what is in the slots is lost. */
  reset(): void {
    const first = firstRoom(this.shape);
    if (first.slots === this.slots && first.positions === this.capacity) return;
    for (const plane of this.#planes) giveBack(plane);
    this.#room = first;
    this.#planes = this.#allocate(first);
  }

  /** Plane of a layer for a range of slots: float32 [count, heads, capacity, headDim], no copy. */
  view(layer: number, part: 'key' | 'value', firstSlot: number, count: number): Float32Array {
    const plane = this.#planes[2 * layer + (part === 'key' ? 0 : 1)] as Float32Array;
    const size = this.#slotSize();
    return plane.subarray(firstSlot * size, (firstSlot + count) * size);
  }

  async feeds(prefix: string, firstSlot: number, count: number): Promise<Record<string, Tensor>> {
    const { layers, heads, headDim } = this.shape;
    const dims = [count, heads, this.capacity, headDim];
    const planes = Array.from({ length: 2 * layers }, (_, i) => {
      const view = this.view(Math.floor(i / 2), i % 2 === 0 ? 'key' : 'value', firstSlot, count);
      return new Tensor('float32', view, dims);
    });
    return planeFeeds(prefix, planes);
  }

  rows(result: Record<string, Tensor>, name: string): KvRows {
    return held(rowNames(name, this.shape).map((output) => result[output] as Tensor));
  }

  async keep({ layers }: KvRows, places: readonly KvPlace[]): Promise<void> {
    for (const [layer, { data, dims }] of layers.entries()) {
      const [, positions = 0] = dims;
      for (const place of places) this.#write(layer, data as Float32Array, positions, place);
    }
  }

  async part({ layers }: KvRows, row: number, { start, end }: Range): Promise<KvRows> {
    const parts = layers.map(({ data, dims }) => {
      const [, positions = 0, width = 0] = dims;
      const at = (position: number) => (row * positions + position) * width;
      const values = (data as Float32Array).slice(at(start), at(end));
      return new Tensor('float32', values, [1, end - start, width]);
    });
    return held(parts);
  }

  /** Copies one row of a layer's new keys and values, [rows, positions, 2, heads, headDim], into a slot. */
  #write(
    layer: number,
    fresh: Float32Array,
    positions: number,
    { row, slot, start, length }: KvPlace,
  ): void {
    const { heads, headDim } = this.shape;
    let from = row * positions * 2 * heads * headDim;
    for (let position = start; position < start + length; position++) {
      for (const part of [0, 1]) {
        const plane = this.#planes[2 * layer + part] as Float32Array;
        for (let head = 0; head < heads; head++) {
          const to = ((slot * heads + head) * this.capacity + position) * headDim;
          // Plain loops: set(subarray) per head costs several times more at this size.
          for (let i = 0; i < headDim; i++) {
            const value = fresh[from++] as number;
            // A step masks what a slot held before, and nothing masks NaN or infinity: they must not outlive their text.
            plane[to + i] = value - value === 0 ? value : 0;
          }
        }
      }
    }
  }

  /** Makes the positions `start` … `end` − 1 of slot `to` those of slot `from`. */
  copy(from: number, to: number, { start, end }: Range): void {
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

  release(): void {
    for (const plane of this.#planes) giveBack(plane);
  }

  #slotSize(): number {
    return this.shape.heads * this.capacity * this.shape.headDim;
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
      giveBack(old);
    }
    this.#room = room;
  }
}

/** Rows in memory, given back when they are done with. */
function held(layers: readonly Tensor[]): KvRows {
  const values = layers.map(({ data }) => data as Float32Array);
  return {
    layers,
    byteLength: values.reduce((sum, { byteLength }) => sum + byteLength, 0),
    [Symbol.dispose]: () => values.forEach(giveBack),
  };
}

/** At once: the collector of garbage would let hundreds of megabytes pile up first. */
function giveBack(values: Float32Array): void {
  (values.buffer as ArrayBuffer).transfer(0);
}
