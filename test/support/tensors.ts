/** Tensors from the goldens of the parity tests. */
import { Tensor } from 'onnxruntime-node';
import { type GoldenTensor, rowOf } from '../../tools/eval/goldens.ts';

/** Row `index` of a golden's first dimension, as a batch of one: float32 [1, …]. */
export function rowTensor(golden: GoldenTensor, index: number): Tensor {
  return new Tensor('float32', rowOf(golden, index), [1, ...golden.shape.slice(1)]);
}
