/** Keys and values on the device: no step brings them, or the new ones, across the bus. */
import type { Tensor } from 'onnxruntime-node';
import type { DeviceTensors } from '../../runtime/device-tensors.ts';
import {
  firstRoom,
  grownRoom,
  type KeysAndValues,
  type KvPlace,
  type KvRows,
  type KvShape,
  type KvStore,
  keysAndValues,
  type Range,
  type Room,
} from './kv-cache.ts';
import { type KvGraphs, longest } from './kv-kernels.ts';

/**
 * Growing and copying are only noted, and done at once before the planes are next read or written: all copies of a step are
 * one gathering of slots.
 */
export class DeviceKvCache implements KvStore {
  readonly #shape: KvShape;
  readonly #graphs: KvGraphs;
  readonly #tensors: DeviceTensors;
  /** None before the first use, then key and value of each layer. */
  #planes: Tensor[] = [];
  /** What the planes have. */
  #room: Room = { slots: 0, positions: 0 };
  /** Of each slot, where the planes have what it holds. */
  #order: number[];
  /** Positions that are wanted. */
  #positions: number;
  /** What was read last, where it was not the planes themselves. */
  #lent: Tensor[] = [];

  constructor(shape: KvShape, graphs: KvGraphs, tensors: DeviceTensors) {
    this.#shape = shape;
    this.#graphs = graphs;
    this.#tensors = tensors;
    const { slots, positions } = firstRoom(shape);
    this.#order = identity(slots);
    this.#positions = positions;
  }

  get bytes(): number {
    const { layers, heads, headDim } = this.#shape;
    return 4 * 2 * layers * heads * headDim * this.#room.slots * this.#room.positions;
  }

  reserve(wanted: Room): void {
    const now = { slots: this.#order.length, positions: this.#positions };
    const room = grownRoom(now, wanted, this.#shape);
    // A new slot may hold anything that is finite.
    while (this.#order.length < room.slots) this.#order.push(this.#order[0] ?? 0);
    this.#positions = room.positions;
  }

  trim(slots: number): void {
    if (slots < this.#order.length) this.#order.length = slots;
  }

  async feeds(firstSlot: number, count: number): Promise<KeysAndValues> {
    await this.#settle();
    if (firstSlot === 0 && count === this.#room.slots) return keysAndValues(this.#planes);
    const range = identity(count).map((i) => firstSlot + i);
    this.#lent = this.#hold(await this.#graphs.arrange(this.#planes, range));
    return keysAndValues(this.#lent);
  }

  rows(layers: readonly Tensor[]): KvRows {
    return this.#rowsOf(layers);
  }

  async keep({ layers }: KvRows, places: readonly KvPlace[]): Promise<void> {
    await this.#settle();
    const real = places.filter(({ length }) => length > 0);
    if (real.length === 0) return;
    const positions = longest(real);
    for (const { slot, start } of real) {
      const fits = slot < this.#room.slots && start + positions <= this.#room.positions;
      if (!fits) throw new Error(`no room for ${positions} positions at ${start} of slot ${slot}`);
    }
    this.#replace(await this.#graphs.write(this.#planes, layers, real));
  }

  async part({ layers }: KvRows, row: number, positions: Range): Promise<KvRows> {
    return this.#rowsOf(await this.#graphs.part(layers, row, positions));
  }

  copy(from: number, to: number, { start, end }: Range): void {
    if (start < end) this.#order[to] = this.#order[from] as number;
  }

  reset(): void {
    const { slots, positions } = firstRoom(this.#shape);
    if (this.#order.length <= slots && this.#positions === positions) return;
    this.release();
    this.#order = identity(slots);
    this.#positions = positions;
  }

  release(): void {
    this.#giveBack();
    this.#replace([]);
    this.#room = { slots: 0, positions: 0 };
  }

  /** Makes the planes what was noted. */
  async #settle(): Promise<void> {
    this.#giveBack();
    const [slots, positions] = [this.#order.length, this.#positions];
    if (this.#planes.length === 0) {
      this.#replace(await this.#graphs.zeros({ slots, positions }));
      this.#room.positions = positions;
    } else if (slots !== this.#room.slots || this.#order.some((from, slot) => from !== slot)) {
      this.#replace(await this.#graphs.arrange(this.#planes, this.#order));
    }
    this.#order = identity(slots);
    this.#room.slots = slots;
    const by = positions - this.#room.positions;
    if (by > 0) this.#replace(await this.#graphs.lengthen(this.#planes, by));
    this.#room.positions = positions;
  }

  #rowsOf(layers: readonly Tensor[]): KvRows {
    const free = () => {
      for (const tensor of layers) this.#tensors.free(tensor);
    };
    const values = this.#hold(layers).map(({ dims }) => dims.reduce((a, b) => a * b));
    return { layers, byteLength: 4 * values.reduce((a, b) => a + b), [Symbol.dispose]: free };
  }

  #replace(planes: Tensor[]): void {
    for (const plane of this.#planes) this.#tensors.free(plane);
    this.#planes = this.#hold(planes);
  }

  #hold<Held extends readonly Tensor[]>(tensors: Held): Held {
    for (const tensor of tensors) this.#tensors.hold(tensor);
    return tensors;
  }

  #giveBack(): void {
    for (const tensor of this.#lent) this.#tensors.free(tensor);
    this.#lent = [];
  }
}

const identity = (count: number) => Array.from({ length: count }, (_, i) => i);
