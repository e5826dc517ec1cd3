/** Rows and tensors: integers, even numbers of rows, padding, views, freeing. */
import { Tensor } from 'onnxruntime-node';

/**
 * The kernels for quantized weights compute the rows of a run in pairs, and an unpaired row in another way: its last
 * digits would depend on the number of rows. So every run has an even number.
 * @example even(3) // 4
 */
export const even = (rows: number): number => rows + (rows % 2);

/** @example int64Tensor([1, 2, 3, 4], [2, 2]) */
export function int64Tensor(
  values: readonly number[],
  dims: readonly number[] = [values.length],
): Tensor {
  return new Tensor('int64', BigInt64Array.from(values, BigInt), dims);
}

/** int32 [values.length] */
export function int32Tensor(values: readonly number[]): Tensor {
  return new Tensor('int32', Int32Array.from(values), [values.length]);
}

/**
 * Rows of ids, right-padded to the longest, and to `least`: int64 [rows, longest].
 * @param pad id of the padding
 */
export function paddedIds(rows: readonly (readonly number[])[], pad: number, least = 0): Tensor {
  const longest = Math.max(least, ...rows.map(({ length }) => length));
  const ids = new BigInt64Array(rows.length * longest).fill(BigInt(pad));
  for (const [row, values] of rows.entries()) {
    for (const [j, id] of values.entries()) ids[row * longest + j] = BigInt(id);
  }
  return new Tensor('int64', ids, [rows.length, longest]);
}

/** Rows of a [rows, width] tensor, without a copy. */
export function rowsOf(values: Float32Array, rows: number): Float32Array[] {
  const width = values.length / rows;
  return Array.from({ length: rows }, (_, row) => values.subarray(row * width, (row + 1) * width));
}

/** Frees memory at once: the garbage collector would let hundreds of megabytes pile up first. */
export function freeBuffer(values: Float32Array): void {
  (values.buffer as ArrayBuffer).transfer(0);
}
