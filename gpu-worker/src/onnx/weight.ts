/** A weight of a graph: its shape is known at once, its values are read when the graph is saved. */

/** A weight whose values are computed when they are written, [dims]. */
export type Weight = {
  /** float32 by default. */
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
