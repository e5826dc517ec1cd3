/** Linear weights in 8 bits with one scale for each output, laid out as onnxruntime's MatMulInteger reads them. */
import type { Weight } from '../../onnx/weight.ts';
import { rounded } from './round-half-even.ts';
import { type Linear, transpose } from './weights.ts';

const LARGEST = 127;

/** w[o, i] ≈ level[o, i] · scale[o] */
export type RowQuantized = {
  /** int8 [out, width], −127 … 127 */
  levels: Int8Array;
  /** float32 [out] */
  scales: Float32Array;
};

/** @param values float32 [out, width], row by row */
export function quantizeRows(values: Float32Array, width: number): RowQuantized {
  const scales = new Float32Array(values.length / width);
  const levels = new Int8Array(values.length);
  for (let row = 0; row < scales.length; row++) {
    const [from, to] = [row * width, (row + 1) * width];
    let largest = 0;
    for (let i = from; i < to; i++) largest = Math.max(largest, Math.abs(values[i]!));
    if (largest === 0) continue;
    scales[row] = largest / LARGEST;
    const inverse = LARGEST / largest;
    for (let i = from; i < to; i++) levels[i] = rounded(values[i]! * inverse);
  }
  return { levels, scales };
}

/** The two weights of a MatMulIntegerToFloat node; the linear layer is read and quantized once for both. */
export function rowWeights(linear: Linear): { levels: Weight; scales: Weight } {
  let scales: Float32Array | undefined;
  const both = async () => {
    const made = quantizeRows(await linear.read(), linear.in);
    scales = made.scales;
    return made;
  };
  return {
    levels: {
      type: 'int8',
      dims: [linear.in, linear.out],
      sourceBytes: linear.sourceBytes,
      async *chunks() {
        yield transpose((await both()).levels, linear.out, linear.in);
      },
    },
    scales: {
      dims: [linear.out],
      sourceBytes: 0,
      async *chunks() {
        yield scales ?? (await both()).scales;
        scales = undefined;
      },
    },
  };
}
