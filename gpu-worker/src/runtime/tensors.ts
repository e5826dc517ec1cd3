/** Tensors from rows, and rows from tensors. */
import { Tensor } from 'onnxruntime-node';

/**
 * The kernels for few bits take the rows of a run in pairs, and one that is left over in another way: its last digits
 * would hang on how many there are. So every run has an even number.
 */
export const even = (rows: number): number => rows + (rows % 2);

/** Rows of ids, right-padded to the longest, and to `least`: int64 [rows, longest]. */
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

/** Gives memory back at once: the collector of garbage would let hundreds of megabytes pile up first. */
export function giveBack(values: Float32Array): void {
  (values.buffer as ArrayBuffer).transfer(0);
}
