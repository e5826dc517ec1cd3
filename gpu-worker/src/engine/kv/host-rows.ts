/** Keys and values of rows in memory: adopted, and copied. */
import { Tensor } from 'onnxruntime-node';
import { freeBuffer } from '../../runtime/tensors.ts';
import type { KvRows, KvSegment, Range } from './kv-cache.ts';

/** Freed when they are disposed. */
export function rowsOf(layers: readonly Tensor[]): KvRows {
  const values = layers.map(({ data }) => data as Float32Array);
  return {
    layers,
    byteLength: values.reduce((sum, { byteLength }) => sum + byteLength, 0),
    [Symbol.dispose]: () => values.forEach(freeBuffer),
  };
}

/** A copy of some positions of a row. */
export function sliceOf({ layers }: KvRows, row: number, { start, end }: Range): KvRows {
  const parts = layers.map(({ data, dims }) => {
    const [, positions = 0, width = 0] = dims;
    const at = (position: number) => (row * positions + position) * width;
    const values = (data as Float32Array).slice(at(start), at(end));
    return new Tensor('float32', values, [1, end - start, width]);
  });
  return rowsOf(parts);
}

/** A copy of segments, one behind the other. */
export function joined(segments: readonly KvSegment[]): KvRows {
  const positions = segments.reduce((sum, { length }) => sum + length, 0);
  const [first] = segments;
  const layers = (first?.values.layers ?? []).map(({ dims: [, , width = 0] }, layer) => {
    const row = new Float32Array(positions * width);
    let at = 0;
    for (const { values, length } of segments) {
      const { data } = values.layers[layer] as Tensor;
      row.set((data as Float32Array).subarray(0, length * width), at);
      at += length * width;
    }
    return new Tensor('float32', row, [1, positions, width]);
  });
  return rowsOf(layers);
}
