/** A weight of a graph: its shape now, its values when the graph is saved. */

/** A weight that is made when it is written, [dims]. */
export type Weight = {
  /** float32 unless it says otherwise. */
  type?: 'uint8' | 'int8' | 'float16';
  dims: readonly number[];
  /** Bytes of the checkpoint it is made of. */
  sourceBytes: number;
  chunks: () => AsyncIterable<Float32Array | Float16Array | Uint8Array | Int8Array>;
};

/**
 * Values of a tensor of this shape.
 * @example elementCount([2, 3]) // 6
 */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}
