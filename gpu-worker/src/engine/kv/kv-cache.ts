/** The interface of a KV cache, on the device or in memory: keys and values of the running sequences. */
import type { Tensor } from 'onnxruntime-node';

/** `headDim` is the width of a head in the cache. */
export type KvShape = { layers: number; heads: number; headDim: number; maxPositions: number };

/** How many slots, and how many positions each of them has. */
export type Capacity = { slots: number; positions: number };

/** Positions, or ids of a text, from `start` to before `end`. */
export type Range = { start: number; end: number };

/**
 * Keys and values of rows, a tensor for each layer: float32 [rows, positions, 2 × heads × headDim], of a position the
 * keys of all heads first. Their one owner frees them, with `using`.
 */
export type KvRows = Disposable & { layers: readonly Tensor[]; byteLength: number };

/** The first `length` positions of the first row. */
export type KvSegment = { values: KvRows; length: number };

/** Where a row of a run is written: its first `length` positions become the positions from `start` on of a slot. */
export type SlotMapping = { row: number; slot: number; start: number; length: number };

/** A tensor for each layer. */
export type KeysAndValues = { keys: readonly Tensor[]; values: readonly Tensor[] };

/** Running sequences hold the slots 0 … n−1 without gaps. */
export type KvCache = {
  /** What a slot may hold at most. */
  readonly maxPositions: number;
  /** Memory of all slots. */
  readonly bytes: number;
  /** Grows until so many slots of so many positions fit; what is in them stays. */
  reserve(wanted: Capacity): void;
  /** Only the slots below this number hold a sequence. */
  trim(slots: number): void;
  /** Of a range of slots keys and values, float32 [count, heads, capacity, headDim]. They last until the next call. */
  feeds(firstSlot: number, count: number): Promise<KeysAndValues>;
  /** A run's output for each layer, as rows that their owner frees. */
  adopt(layers: readonly Tensor[]): KvRows;
  /** Copies rows into slots; where `length` is 0 nothing. NaN and infinity, which no mask hides, become 0. */
  put(rows: KvRows, mappings: readonly SlotMapping[]): Promise<void>;
  /** Copies segments into a slot, from its first position on, one behind the other. */
  putSegments(slot: number, segments: readonly KvSegment[]): Promise<void>;
  /** A copy of one segment or more as one row, one behind the other. */
  join(segments: readonly KvSegment[]): Promise<KvRows>;
  /** Rows that are NaN or infinite somewhere in their first `lengths[row]` positions. */
  brokenRows(rows: KvRows, lengths: readonly number[]): Promise<number[]>;
  /** A copy of the positions `start` … `end` − 1 of one row. */
  slice(rows: KvRows, row: number, positions: Range): Promise<KvRows>;
  /** Makes the positions `start` … `end` − 1 of slot `to` those of slot `from`; those behind them may be anything. */
  copy(from: number, to: number, positions: Range): void;
  /** No more slots and positions than these: what is behind them is lost. */
  shrink(most: Capacity): void;
  /** Back to the first size; only while nothing runs, since what is in the slots is lost. */
  reset(): void;
  release(): void;
};

/** Positions of a slot are a multiple of this, as far as the model has them: sums over them then end alike. */
const POSITIONS = 64;
/** By how much they grow at the least. */
const GROWTH = 1.25;
/** Slots come in pairs, since runs have an even number of rows. */
const FIRST_SLOTS = 2;

/** A run's cost and the memory grow with both, so they start small. */
export function initialCapacity({ maxPositions }: KvShape): Capacity {
  return { slots: FIRST_SLOTS, positions: Math.min(POSITIONS, maxPositions) };
}

/** What a slot that grows to so many positions has at most: `grownCapacity` adds to what there was. */
export function mostPositions(
  positions: number,
  { maxPositions }: Pick<KvShape, 'maxPositions'>,
): number {
  return Math.min(Math.ceil((GROWTH * positions) / POSITIONS) * POSITIONS, maxPositions);
}

/**
 * At least as large as both.
 * @throws Error when the model has fewer positions than are wanted
 */
export function grownCapacity(
  now: Capacity,
  { slots, positions }: Capacity,
  { maxPositions }: KvShape,
): Capacity {
  if (positions > maxPositions) throw new Error(`${positions} positions do not fit`);
  // A quarter more at the least, so that long texts do not copy what they have for every few positions.
  const wanted = positions > now.positions ? Math.max(positions, GROWTH * now.positions) : 0;
  return {
    slots: Math.max(now.slots, slots),
    positions: Math.max(
      now.positions,
      Math.min(Math.ceil(wanted / POSITIONS) * POSITIONS, maxPositions),
    ),
  };
}

/** The inputs of a decoder, from planes in the order key, value of layer 0, and so on. */
export function keysAndValues(planes: readonly Tensor[]): KeysAndValues {
  return {
    keys: planes.filter((_, i) => i % 2 === 0),
    values: planes.filter((_, i) => i % 2 === 1),
  };
}
