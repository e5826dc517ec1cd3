/** The output of a pass without a model: new keys and values of rows, as a KV cache adopts them. */
import { Tensor } from 'onnxruntime-node';
import type { KvShape } from '../kv/kv-cache.ts';

/**
 * For each layer float32 [rows, positions, 2 × heads × headDim], in which every number is another.
 * @param from the numbers are those behind this one
 */
export function newRows(
  { layers, heads, headDim }: KvShape,
  rows: number,
  positions: number,
  from = 0,
): Tensor[] {
  const dims = [rows, positions, 2 * heads * headDim];
  const length = dims.reduce((a, b) => a * b);
  return Array.from({ length: layers }, (_, layer) => {
    const first = from + layer * length + 1;
    return new Tensor(
      'float32',
      Float32Array.from({ length }, (_, i) => first + i),
      dims,
    );
  });
}
