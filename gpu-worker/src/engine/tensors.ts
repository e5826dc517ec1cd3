/** Views of what onnxruntime returns. */

/** Rows of a [rows, width] tensor, without a copy. */
export function rowsOf(values: Float32Array, rows: number): Float32Array[] {
  const width = values.length / rows;
  return Array.from({ length: rows }, (_, row) => values.subarray(row * width, (row + 1) * width));
}
