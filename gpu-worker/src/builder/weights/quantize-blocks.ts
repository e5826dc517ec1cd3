/** Linear weights in 4 or 8 bits, laid out as onnxruntime's MatMulNBits reads them. */
import type { Weight } from '../../onnx/weight.ts';
import { rounded } from './round-half-even.ts';
import type { Linear } from './weights.ts';

/** Bits of a value, and values of a row that share a scale. */
export type Blocks = { bits: 4 | 8; block: number };

/** Values of one row block share a scale: w ≈ (q − 2^(bits − 1)) · scale. */
export type Quantized = {
  /** uint8 [out, blocks, block × bits / 8]; of two 4-bit values in a byte the first is the low one. */
  packed: Uint8Array;
  /** float32 [out × blocks] */
  scales: Float32Array;
};

/** Sizes tried for a block's scale, relative to what its largest value asks for: clipping it may serve the rest. */
const SHRINKS = [1, 0.95, 0.9, 0.85, 0.8];

/** @param values float32 [out, width], row by row */
export function quantizeBlocks(
  values: Float32Array,
  width: number,
  { bits, block }: Blocks,
): Quantized {
  const rows = values.length / width;
  const blocks = Math.ceil(width / block);
  const bytes = (block * bits) / 8;
  const middle = 2 ** (bits - 1);
  const packed = new Uint8Array(rows * blocks * bytes);
  // What a row has less than whole blocks is zero.
  packed.fill(bits === 8 ? middle : middle | (middle << 4));
  const scales = new Float32Array(rows * blocks);
  for (let row = 0; row < rows; row++) {
    for (let index = 0; index < blocks; index++) {
      const from = row * width + index * block;
      const to = Math.min(from + block, (row + 1) * width);
      const at = row * blocks + index;
      const scale = bestScale(values, { from, to, middle, shrinks: bits === 4 ? SHRINKS : [1] });
      scales[at] = scale;
      const inverse = scale === 0 ? 0 : 1 / scale;
      for (let i = from; i < to; i++) {
        const level = clamped(rounded(values[i]! * inverse), middle) + middle;
        const offset = i - from;
        if (bits === 8) packed[at * bytes + offset] = level;
        else {
          const byte = at * bytes + (offset >> 1);
          const other = packed[byte]!;
          packed[byte] = offset & 1 ? (other & 0x0f) | (level << 4) : (other & 0xf0) | level;
        }
      }
    }
  }
  return { packed, scales };
}

function clamped(level: number, middle: number): number {
  if (level < -middle) return -middle;
  return level < middle ? level : middle - 1;
}

/**
 * The scale with the least squared error among a few. The largest value becomes the lowest level, −2^(bits − 1): there is
 * one level more below zero than above.
 */
function bestScale(
  values: Float32Array,
  {
    from,
    to,
    middle,
    shrinks,
  }: { from: number; to: number; middle: number; shrinks: readonly number[] },
): number {
  let largest = 0;
  for (let i = from; i < to; i++) {
    if (Math.abs(values[i]!) > Math.abs(largest)) largest = values[i]!;
  }
  if (largest === 0) return 0;
  if (shrinks.length === 1) return Math.fround(-largest / middle);
  let best = 0;
  let least = Number.POSITIVE_INFINITY;
  for (const shrink of shrinks) {
    const scale = Math.fround((-largest / middle) * shrink);
    const inverse = 1 / scale;
    let error = 0;
    for (let i = from; i < to && error < least; i++) {
      const value = values[i]! * inverse;
      const off = value - clamped(rounded(value), middle);
      error += off * off * scale * scale;
    }
    if (error < least) [least, best] = [error, scale];
  }
  return best;
}

/** The two weights of a MatMulNBits node; the linear layer is read and quantized once for both. */
export function blockWeights(linear: Linear, blocks: Blocks): { packed: Weight; scales: Weight } {
  const { out, in: width } = linear;
  const { bits, block } = blocks;
  const count = Math.ceil(width / block);
  let scales: Float32Array | undefined;
  const both = async () => {
    const made = quantizeBlocks(await linear.read(), width, blocks);
    scales = made.scales;
    return made;
  };
  const packed: Weight = {
    type: 'uint8',
    dims: [out, count, (block * bits) / 8],
    sourceBytes: linear.sourceBytes,
    async *chunks() {
      yield (await both()).packed;
    },
  };
  const scaling: Weight = {
    dims: [out * count],
    sourceBytes: 0,
    async *chunks() {
      yield scales ?? (await both()).scales;
      scales = undefined;
    },
  };
  return { packed, scales: scaling };
}
