/** Keys and values on the device: no step copies them, or the new ones, across the bus. */
import type { Tensor } from 'onnxruntime-node';
import type { DeviceTensors } from '../../runtime/device-tensors.ts';
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
import { type KvKernels, longest } from './kv-kernels.ts';

/**
 * Growing and copying are deferred until the planes are next read or written, and done in one run then: all copies of a
 * step are one gather of slots.
 */
export class DeviceKvCache implements KvCache {
  readonly #shape: KvShape;
  readonly #kernels: KvKernels;
  readonly #tensors: DeviceTensors;
  /** None before the first use, then key and value of each layer. */
  #planes: Tensor[] = [];
  /** Capacity of the planes. */
  #capacity: Capacity = { slots: 0, positions: 0 };
  /** For each slot, the slot of the planes that has its contents; `EMPTY` where it was only reserved. */
  #order: number[];
  /** Positions that the planes are to have. */
  #positions: number;
  /** Slots that were gathered for the last `feeds`, where those were not the planes themselves. */
  #gathered: Tensor[] = [];

  constructor(shape: KvShape, kernels: KvKernels, tensors: DeviceTensors) {
    this.#shape = shape;
    this.#kernels = kernels;
    this.#tensors = tensors;
    const { slots, positions } = initialCapacity(shape);
    this.#order = identity(slots);
    this.#positions = positions;
  }

  get maxPositions(): number {
    return this.#shape.maxPositions;
  }

  get bytes(): number {
    const { layers, heads, headDim } = this.#shape;
    return 4 * 2 * layers * heads * headDim * this.#capacity.slots * this.#capacity.positions;
  }

  reserve(wanted: Capacity): void {
    const now = { slots: this.#order.length, positions: this.#positions };
    const grown = grownCapacity(now, wanted, this.#shape);
    while (this.#order.length < grown.slots) this.#order.push(EMPTY);
    this.#positions = grown.positions;
  }

  trim(slots: number): void {
    if (slots < this.#order.length) this.#order.length = slots;
  }

  /** Of what was reserved. Slots of the planes go with the next pass, their positions with the last sequence. */
  shrink({ slots, positions }: Capacity): void {
    this.trim(slots);
    this.#positions = Math.max(this.#leastPositions, Math.min(this.#positions, positions));
  }

  async feeds(firstSlot: number, count: number): Promise<KeysAndValues> {
    await this.#settle();
    if (firstSlot === 0 && count === this.#capacity.slots) return keysAndValues(this.#planes);
    const range = identity(count).map((i) => firstSlot + i);
    this.#gathered = this.#hold(await this.#kernels.arrange(this.#planes, range));
    return keysAndValues(this.#gathered);
  }

  adopt(layers: readonly Tensor[]): KvRows {
    return this.#rowsOf(layers);
  }

  async put({ layers }: KvRows, mappings: readonly SlotMapping[]): Promise<void> {
    await this.#settle();
    const real = mappings.filter(({ length }) => length > 0);
    if (real.length === 0) return;
    const positions = longest(real);
    for (const { slot, start } of real) {
      const fits = slot < this.#capacity.slots && start + positions <= this.#capacity.positions;
      if (!fits) throw new Error(`no room for ${positions} positions at ${start} of slot ${slot}`);
    }
    this.#replace(await this.#kernels.write(this.#planes, layers, real));
  }

  async brokenRows({ layers }: KvRows, lengths: readonly number[]): Promise<number[]> {
    const counts = await this.#kernels.countBroken(layers, lengths);
    return lengths.flatMap((_, row) => (counts[row] === 0 ? [] : [row]));
  }

  async slice({ layers }: KvRows, row: number, positions: Range): Promise<KvRows> {
    return this.#rowsOf(await this.#kernels.slice(layers, row, positions));
  }

  /** All in one write: each copies the planes. */
  async putSegments(slot: number, segments: readonly KvSegment[]): Promise<void> {
    const mapping = { row: 0, slot, start: 0, length: lengthOf(segments) };
    const [first] = segments;
    if (first === undefined) return;
    if (segments.length === 1) return this.put(first.values, [mapping]);
    using row = await this.join(segments);
    await this.put(row, [mapping]);
  }

  /** In pairs, so that each position is copied a few times at the most. */
  async join(segments: readonly KvSegment[]): Promise<KvRows> {
    const [only, ...others] = segments;
    if (only !== undefined && others.length === 0) {
      return this.slice(only.values, 0, { start: 0, end: only.length });
    }
    using held = new DisposableStack();
    const whole = async (part: readonly KvSegment[]): Promise<KvSegment> => {
      const [first, ...rest] = part;
      if (first !== undefined && rest.length === 0) return first;
      return { values: held.use(await this.join(part)), length: lengthOf(part) };
    };
    const half = Math.ceil(segments.length / 2);
    const [first, second] = [
      await whole(segments.slice(0, half)),
      await whole(segments.slice(half)),
    ];
    return this.#rowsOf(await this.#kernels.join(first, second));
  }

  copy(from: number, to: number, { start, end }: Range): void {
    if (start < end) this.#order[to] = this.#order[from] as number;
  }

  reset(): void {
    const { slots, positions } = initialCapacity(this.#shape);
    if (this.#order.length <= slots && this.#positions === positions) return;
    this.release();
    this.#order = identity(slots);
    this.#positions = positions;
  }

  release(): void {
    this.#freeGathered();
    this.#replace([]);
    this.#capacity = { slots: 0, positions: 0 };
  }

  /** Those of the planes; of none, as many as they begin with. */
  get #leastPositions(): number {
    return this.#planes.length > 0
      ? this.#capacity.positions
      : initialCapacity(this.#shape).positions;
  }

  /** Runs the deferred growth and copies. Where the device has no room for them, only the pass that asked for it fails. */
  async #settle(): Promise<void> {
    this.#freeGathered();
    try {
      await this.#grow();
    } catch (thrown) {
      this.#giveUpGrowth();
      throw thrown;
    }
  }

  /** Back to what the planes have. Copies that are still to be made stay: sequences hold those slots. */
  #giveUpGrowth(): void {
    this.#positions = this.#leastPositions;
    const least = Math.max(this.#capacity.slots, initialCapacity(this.#shape).slots);
    while (this.#order.length > least && this.#order.at(-1) === EMPTY) this.#order.pop();
  }

  async #grow(): Promise<void> {
    const [slots, positions] = [this.#order.length, this.#positions];
    if (this.#planes.length === 0) {
      this.#replace(await this.#kernels.zeros({ slots, positions }));
      this.#capacity.positions = positions;
    } else if (slots !== this.#capacity.slots || this.#order.some((from, slot) => from !== slot)) {
      // A new slot may hold anything that is finite.
      const order = this.#order.map((from) => Math.max(from, 0));
      this.#replace(await this.#kernels.arrange(this.#planes, order));
    }
    this.#order = identity(slots);
    this.#capacity.slots = slots;
    const by = positions - this.#capacity.positions;
    if (by > 0) this.#replace(await this.#kernels.lengthen(this.#planes, by));
    this.#capacity.positions = positions;
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

  #freeGathered(): void {
    for (const tensor of this.#gathered) this.#tensors.free(tensor);
    this.#gathered = [];
  }
}

const lengthOf = (segments: readonly KvSegment[]) => {
  return segments.reduce((sum, { length }) => sum + length, 0);
};

/** Less than any slot. */
const EMPTY = -1;

const identity = (count: number) => Array.from({ length: count }, (_, i) => i);
